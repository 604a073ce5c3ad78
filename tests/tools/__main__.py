"""Install the programs of `docs/tools.md` that registries bring, and ask the stand-in through each.

`make tools`. Each gets the settings of the page. It is right if its output has the answer and the stand-in
got its requests. With `--write`, as `make tools` passes it, the versions go into the page if all are right.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.gateway import Gateway
from tests.generated import rewrite_part

MODEL = "claude-sonnet-4-6"
QUESTION = "What is the capital of France?"
_SECONDS = 1800

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
    """A program: the package that has it, how to install it in a folder, and how to ask it."""

    name: str
    package: str
    install: Callable[[Path, str], list[list[str]]]
    ask: Callable[[Path, Gateway], list[str]]
    environment: Callable[[Path, Gateway], dict[str, str]] = lambda folder, gateway: {}
    any_schema: bool = False
    """Whether its tools have schemas that some provider refuses."""


def _pip(folder: Path, package: str) -> list[list[str]]:
    return [
        [sys.executable, "-m", "venv", str(folder / "venv")],
        [str(folder / "venv/bin/python"), "-m", "pip", "install", "-q", package],
    ]


def _npm(folder: Path, package: str) -> list[list[str]]:
    return [["npm", "install", "--no-fund", "--no-audit", "--prefix", str(folder), package]]


def _version(folder: Path, package: str) -> str:
    """The version that was installed, by pip or npm."""
    if (described := folder / "node_modules" / package / "package.json").exists():
        return str(json.loads(described.read_text("utf-8"))["version"])
    asked = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    command = [str(folder / "venv/bin/python"), "-c", asked]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


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
    return [program, QUESTION]


PROGRAMS = (
    Program("OpenAI SDK for Python", "openai", _pip, _python, _openai),
    Program("OpenAI SDK for Node", "openai", _npm, _node, _openai),
    Program(
        "Aider",
        "aider-chat",
        _pip,
        _aider,
        lambda folder, gateway: {"OPENAI_API_BASE": gateway.base_url, "OPENAI_API_KEY": gateway.key},
    ),
    Program("Continue", "@continuedev/cli", _npm, _continue),
    Program("Cline", "cline", _npm, _cline, any_schema=True),
)


def run(program: Program) -> tuple[bool, str]:
    """Install and ask one program: whether it is right, and its version or what was wrong."""
    with tempfile.TemporaryDirectory() as name, Gateway(any_schema=program.any_schema) as gateway:
        folder = Path(name)
        try:
            for command in program.install(folder, program.package):
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
                if done.returncode:
                    return False, f"it cannot be installed: {done.stderr.strip()[-600:]}"
            version = _version(folder, program.package)
            gateway.answer("The capital of France is Paris.", to=QUESTION)
            environment = {**os.environ, "HOME": name, **program.environment(folder, gateway)}
            asked = subprocess.run(
                program.ask(folder, gateway),
                cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, check=False, timeout=_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            return False, f"no end after {late.timeout:.0f} seconds: {late.cmd}"
        if "Paris" not in asked.stdout:
            return False, f"no answer of {version}: {(asked.stdout + asked.stderr).strip()[-600:]}"
        return bool(gateway.requests), f"{program.install.__name__[1:]} `{program.package}` {version}"


def main() -> None:
    """Run the programs whose names contain an argument, or all; end with 1 if one is wrong."""
    words = [word for word in sys.argv[1:] if word != "--write"]
    wanted = [one for one in PROGRAMS if not words or any(word in one.name for word in words)]
    versions = []
    for program in wanted:
        answers, said = run(program)
        print(f"{program.name}: {'answers' if answers else 'FAILS'}: {said}", flush=True)
        versions += [said] if answers else []
    if "--write" in sys.argv and len(versions) == len(PROGRAMS):
        today = datetime.datetime.now(tz=datetime.UTC).date()
        rewrite_part("tools.md", "tools", f"{today}: {', '.join(versions)}.\n")
    sys.exit(len(versions) < len(wanted))


if __name__ == "__main__":
    main()
