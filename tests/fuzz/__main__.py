"""Runs the fuzzer: `python -m tests.fuzz [seconds]`. Needs atheris, which guides it by coverage."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

with atheris.instrument_imports(include=["texapi_core.wire", "texapi_core.failures"]):
    from tests.fuzz.oracle import check

CORPUS = Path(__file__).parent / "corpus"
_DEFAULT_SECONDS = 3600


def main() -> None:
    """Fuzz for some seconds, from the corpus in the repository; a finding is written to `fuzz-finding-*`."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else _DEFAULT_SECONDS
    with tempfile.TemporaryDirectory() as found:
        arguments = [
            sys.argv[0],
            f"-max_total_time={seconds}",
            "-max_len=4096",
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-artifact_prefix=fuzz-finding-",
            "-print_final_stats=1",
            f"-dict={Path(__file__).parent / 'words.dict'}",
            found,
            str(CORPUS),
        ]
        atheris.Setup(arguments, check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
