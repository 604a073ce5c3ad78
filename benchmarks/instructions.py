"""`make bench-instructions`: instructions of a call and of a chunk, layer by layer, counted by valgrind.

    python -m benchmarks.instructions [--only ChatTexAPI]

Each layer is measured as a client of its own that stops there: the HTTP library alone, with the request that
the SDK sends; the SDK's `post()` with the bytes read; the core; each framework's class; the SDK's typed call.
What a layer adds is the difference. Instructions of the kernel are not counted, and the figures move by about
2 % with the layout of memory.

`python -m benchmarks.instructions LAYER URL` is what valgrind runs: it has its code instrumented only after
the imports, and its counts written before and after each work.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.clients import KEY, ChatTexAPIClient, Client, Sdk, TexAPIClient, history
from benchmarks.measure import Stub, stub

CHUNKS = 50
"""Chunks of the longer stream beyond those of the shorter one."""
_WORKS = {"call": ("whole", "whole"), "text chunk": ("text-20", f"text-{20 + CHUNKS}")}
_WORKS["tool chunk"] = ("tools-20", f"tools-{20 + CHUNKS}")
_TOTAL = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)
CALLS = 5


def _http(base_url: str) -> Callable[[str, bool], None]:
    """The HTTP library of the SDK: request and bytes, no JSON of the answer."""
    import openai

    library: Any = import_module(openai.DefaultHttpxClient.__mro__[1].__module__)
    client = library.Client()

    def run(model: str, stream: bool) -> None:
        body = {"model": model, "messages": history(2), **({"stream": True} if stream else {})}
        headers = {"Authorization": f"Bearer {KEY}"}
        with client.stream("POST", f"{base_url}/chat/completions", json=body, headers=headers) as response:
            for _ in response.iter_raw():
                pass

    return run


def _post(base_url: str) -> Callable[[str, bool], None]:
    """The SDK's `post()` as the core calls it, and the bytes of the answer."""
    from texapi_core.call import Call
    from texapi_core.settings import resolve_settings
    from texapi_core.transport.send import send

    settings = resolve_settings(api_key=KEY, base_url=base_url, timeout=None, max_retries=2)

    def run(model: str, stream: bool) -> None:
        response = send(Call(settings, {"model": model, "messages": history(2)}), stream=stream)
        for _ in response.iter_raw():
            pass
        response.close()

    return run


def _core(base_url: str) -> Callable[[str, bool], None]:
    import texapi_core

    settings = texapi_core.resolve_settings(api_key=KEY, base_url=base_url, timeout=None, max_retries=2)

    def run(model: str, stream: bool) -> None:
        payload = {"model": model, "messages": history(2)}
        if stream:
            for _ in texapi_core.stream(settings, payload):
                pass
        else:
            texapi_core.complete(settings, payload)

    return run


def _client(kind: type[Client]) -> Callable[[str], Callable[[str, bool], None]]:
    def prepare(base_url: str) -> Callable[[str, bool], None]:
        client = kind(base_url)
        messages = client.messages()
        models: dict[str, Any] = {}

        def run(model: str, stream: bool) -> None:
            if model not in models:
                models[model] = client.model(model)
            if stream:
                for _ in client.stream(models[model], messages):
                    pass
            else:
                client.call(models[model], messages)

        return run

    return prepare


LAYERS: dict[str, Callable[[str], Callable[[str, bool], None]]] = {
    "HTTP library": _http,
    "SDK's post()": _post,
    "texapi_core": _core,
    "ChatTexAPI": _client(ChatTexAPIClient),
    "TexAPI": _client(TexAPIClient),
    "SDK, typed": _client(Sdk),
}


def _count(layer: str, server: Stub) -> dict[str, float]:
    """Instructions of one unit of each work."""
    with tempfile.TemporaryDirectory(prefix="texapi-bench-") as folder:
        out = Path(folder) / "out"
        subprocess.run(
            [
                *("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"),
                *(sys.executable, "-m", "benchmarks.instructions", layer, server.base_url),
            ],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            check=True,
            capture_output=True,
        )
        totals = [
            int(_TOTAL.findall(Path(f"{out}.{2 * number}").read_text())[-1])
            for number in range(1, 2 * len(_WORKS) + 2)
        ]
    nothing, *counts = totals
    pairs = zip(_WORKS, counts[::2], counts[1::2], strict=True)
    return {
        title: (second - nothing) / CALLS if title == "call" else (second - first) / CHUNKS
        for title, first, second in pairs
    }


def _work(layer: str, base_url: str) -> None:
    """Nothing, then every work twice, between two dumps of the counts each, after runs that do not count."""
    run = LAYERS[layer](base_url)
    for title, models in _WORKS.items():
        for model in (*models, *models):
            run(model, title != "call")
    gc.collect()
    gc.disable()
    _control("--instr=on")
    _control("--dump")
    _control("--dump")
    for title, models in _WORKS.items():
        for model in models:
            _control("--dump")
            for _ in range(CALLS if title == "call" else 1):
                run(model, title != "call")
            _control("--dump")


def _control(option: str) -> None:
    subprocess.run(["callgrind_control", option, str(os.getpid())], check=True, capture_output=True)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="make bench-instructions", description=__doc__)
    parser.add_argument("layer", nargs="?", choices=LAYERS)
    parser.add_argument("base_url", nargs="?")
    parser.add_argument("--only", default="", help="only layers with this text in the name")
    arguments = parser.parse_args()
    if arguments.layer:
        _work(arguments.layer, arguments.base_url)
        return
    print("| thousands of instructions | " + " | ".join(_WORKS) + " |")
    print("| --- |" + " ---: |" * len(_WORKS))
    with stub() as server:
        for layer in LAYERS:
            if arguments.only in layer:
                counts = _count(layer, server)
                cells = [f"{counts[title] / 1000:,.1f}" for title in _WORKS]
                print(f"| {layer} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
