"""A cassette around all requests of a kernel. Runs inside the kernel."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from pytest_recording import network
from vcr import VCR
from vcr.cassette import Cassette

from tests import cassette_serializer

_open = ExitStack()
_cassettes: list[Cassette] = []


def enter(file: str, *, record: bool) -> None:
    """Start recording, or start replaying and block every connection."""
    vcr = VCR(record_mode="all" if record else "none", **cassette_serializer.VCR_OPTIONS)
    cassette_serializer.configure(vcr)
    if record:
        Path(file).unlink(missing_ok=True)
    else:
        network.block()
    _cassettes.append(_open.enter_context(vcr.use_cassette(file)))


def leave() -> None:
    """Save the recording; when replaying, raise if an exchange was not played."""
    _open.close()
    network.unblock()
    cassette = _cassettes.pop()
    if cassette.record_mode == "none" and not cassette.all_played:
        raise RuntimeError(f"{cassette.play_count} of {len(cassette)} recorded exchanges were played")
