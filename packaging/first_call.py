"""A first call through the installed packages named on the command line, to a server in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module, resources
from pathlib import Path
from threading import Thread

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1790000000,
    "model": "served",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hanoi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}


class Handler(BaseHTTPRequestHandler):
    """Answers every request in the same way."""

    def do_POST(self) -> None:
        """Answer with a chat completion."""
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def ask_core(base_url: str) -> str:
    """The answer received without a framework."""
    module = import_module("texapi_core")
    settings = module.resolve_settings(api_key="sk-tex-1", base_url=base_url, timeout=60, max_retries=0)
    payload = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    return str(module.complete(settings, payload).choices[0].text)


def ask_langchain(base_url: str) -> str:
    """The answer received through LangChain."""
    module = import_module("langchain_texapi")
    return str(module.ChatTexAPI(model="m", api_key="sk-tex-1", base_url=base_url).invoke("Hi").text)


def ask_llama_index(base_url: str) -> str:
    """The answer received through LlamaIndex."""
    module = import_module("llama_index_texapi")
    return str(module.TexAPI(model="m", api_key="sk-tex-1", api_base=base_url).complete("Hi").text)


ASK: dict[str, Callable[[str], str]] = {
    "texapi_core": ask_core,
    "langchain_texapi": ask_langchain,
    "llama_index_texapi": ask_llama_index,
}


def main(packages: list[str]) -> None:
    """Make a call with each package; failures raise."""
    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    for name in packages:
        assert ASK[name](f"http://127.0.0.1:{server.server_port}/v1") == "Hanoi"
    for name in (*packages, "texapi_core"):
        file = import_module(name).__file__
        assert file is not None
        assert Path(file).is_relative_to(sys.prefix), f"{name} does not come from the wheel: {file}"
        assert resources.files(name).joinpath("py.typed").is_file()
    assert resources.files("texapi_core").joinpath("data/models.json").is_file()
    server.shutdown()


if __name__ == "__main__":
    main(sys.argv[1:])
