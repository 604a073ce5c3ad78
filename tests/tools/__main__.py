"""Install the programs of `docs/tools.md` that registries bring, and ask the stand-in through each.

`make tools`. Each gets the settings of the page. It is right if its output has the answer and the stand-in
got its requests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.gateway import Gateway

MODEL = "claude-sonnet-4-6"
QUESTION = "What is the capital of France?"
_SECONDS = 900

_PYTHON = f"""
import openai
client = openai.OpenAI()
question = {{"role": "user", "content": "{QUESTION}"}}
reply = client.chat.completions.create(model="{MODEL}", messages=[question])
print(reply.choices[0].message.content)
"""
_NODE = f"""
import OpenAI from "openai";
const client = new OpenAI();
const stream = await client.chat.completions.create({{
  model: "{MODEL}", stream: true, messages: [{{role: "user", content: "{QUESTION}"}}],
}});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
"""
_CONTINUE = """
name: TexAPI
version: 1.0.0
schema: v1
models:
  - name: Claude Sonnet by TexAPI
    provider: openai
    model: {model}
    apiBase: {base_url}
    apiKey: {key}
    roles: [chat, edit, apply]
"""


class Program(NamedTuple):
    """A program: how to install it in a folder, and how to ask it."""

    name: str
    install: Callable[[Path], list[list[str]]]
    ask: Callable[[Path, Gateway], list[str]]
    environment: Callable[[Path, Gateway], dict[str, str]]


def _pip(*packages: str) -> Callable[[Path], list[list[str]]]:
    return lambda folder: [
        [sys.executable, "-m", "venv", str(folder / "venv")],
        [str(folder / "venv/bin/python"), "-m", "pip", "install", "-q", *packages],
    ]


def _npm(package: str) -> Callable[[Path], list[list[str]]]:
    return lambda folder: [
        ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(folder), package]
    ]


def _openai(folder: Path, gateway: Gateway) -> dict[str, str]:
    return {"OPENAI_BASE_URL": gateway.base_url, "OPENAI_API_KEY": gateway.key}


def _python(folder: Path, gateway: Gateway) -> list[str]:
    return [str(folder / "venv/bin/python"), "-c", _PYTHON]


def _node(folder: Path, gateway: Gateway) -> list[str]:
    (folder / "ask.mjs").write_text(_NODE, "utf-8")
    return ["node", str(folder / "ask.mjs")]


def _aider(folder: Path, gateway: Gateway) -> list[str]:
    quiet = [
        "--no-git",
        "--yes-always",
        "--no-check-update",
        "--no-show-model-warnings",
        "--analytics-disable",
    ]
    asked = ["--model", f"openai/{MODEL}", "--chat-mode", "ask", "--message", QUESTION]
    return [str(folder / "venv/bin/aider"), *quiet, *asked]


def _continue(folder: Path, gateway: Gateway) -> list[str]:
    config = _CONTINUE.format(model=MODEL, base_url=gateway.base_url, key=gateway.key)
    (folder / "config.yaml").write_text(config, "utf-8")
    return [str(folder / "node_modules/.bin/cn"), "--config", str(folder / "config.yaml"), "-p", QUESTION]


def _cline(folder: Path, gateway: Gateway) -> list[str]:
    signed = ["auth", "-p", "openai", "-k", gateway.key, "-m", MODEL, "-b", gateway.base_url]
    program = str(folder / "node_modules/.bin/cline")
    subprocess.run([program, *signed], env={**os.environ, "HOME": str(folder)}, timeout=_SECONDS, check=False)
    return [program, "--yolo", QUESTION]


PROGRAMS = (
    Program("the openai SDK for Python", _pip("openai"), _python, _openai),
    Program("the openai SDK for Node", _npm("openai"), _node, _openai),
    Program(
        "Aider",
        _pip("aider-chat"),
        _aider,
        lambda folder, gateway: {"OPENAI_API_BASE": gateway.base_url, "OPENAI_API_KEY": gateway.key},
    ),
    Program("Continue's command line", _npm("@continuedev/cli"), _continue, lambda folder, gateway: {}),
    Program("Cline's command line", _npm("cline"), _cline, lambda folder, gateway: {}),
)


def run(program: Program, gateway: Gateway) -> str:
    """Install and ask one program; `""` if it is right, else what was wrong."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for command in program.install(folder):
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
            if done.returncode:
                return f"it cannot be installed: {done.stderr.strip()[-200:]}"
        gateway.reset()
        gateway.answer("The capital of France is Paris.", to=QUESTION)
        environment = {**os.environ, "HOME": name, **program.environment(folder, gateway)}
        asked = subprocess.run(
            program.ask(folder, gateway),
            cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=_SECONDS,
        )  # fmt: skip
        if "Paris" not in asked.stdout:
            return f"no answer: {(asked.stdout + asked.stderr).strip()[-300:]}"
        return "" if gateway.requests else "the stand-in got no request"


def main() -> None:
    """Run the programs whose names contain an argument, or all; end with 1 if one is wrong."""
    wanted = [one for one in PROGRAMS if not sys.argv[1:] or any(word in one.name for word in sys.argv[1:])]
    failed = False
    with Gateway() as gateway:
        for program in wanted:
            wrong = run(program, gateway)
            failed |= bool(wrong)
            print(f"{program.name}: {wrong or 'answers'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
