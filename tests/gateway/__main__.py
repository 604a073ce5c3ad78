"""Run the gateway from the command line: ``python -m tests.gateway --port 8000``."""

from __future__ import annotations

import argparse
import contextlib
import threading

from tests.gateway import KEY, Gateway


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.gateway", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="the port to listen on")
    parser.add_argument("--key", default=KEY, help="the key to accept")
    parser.add_argument(
        "--chunk-delay", type=float, default=0.03, help="seconds between the events of a stream"
    )
    options = parser.parse_args()
    gateway = Gateway(keys=[options.key], chunk_delay=options.chunk_delay, port=options.port)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(gateway)
        except OSError as error:
            raise SystemExit(f"Port {options.port} cannot be used: {error.strerror}. Pass --port.") from None
        said = f"TexAPI stand-in at {gateway.base_url}, key {gateway.key}. Stop with Ctrl-C."
        print(said, flush=True)  # also into a file or a pipe, where a program waits for it
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
