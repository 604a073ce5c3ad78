"""The fault table: every row by its name."""

from __future__ import annotations

from tests.faults.answers import ANSWERS
from tests.faults.breaks import BREAKS, NO_ANSWERS
from tests.faults.case import Case
from tests.faults.failures import FAILURES
from tests.faults.streams import STREAMS
from tests.faults.ways import Way

GROUPS: dict[str, dict[str, Case]] = {
    "odd answers": ANSWERS,
    "odd streams": STREAMS,
    "no answers": NO_ANSWERS,
    "broken streams": BREAKS,
    "failures": FAILURES,
}
TABLE: dict[str, Case] = {name: case for group in GROUPS.values() for name, case in group.items()}
assert len(TABLE) == sum(map(len, GROUPS.values())), "duplicate row name"


def concerns(case: Case, way: Way) -> bool:
    """Whether a row applies to a call style."""
    return case.ways == "all" or case.ways == ("streamed" if way.streamed else "whole")
