"""Type checkers accept what the documentation shows, and refuse typos and wrong types.

The programs in `programs/` are checked by mypy and by pyright (its build `basedpyright`, which brings its own
scripts), both with the package as a user has it. A line that must be refused ends in `# E: TEXT`, where TEXT
occurs in what the checker says.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

_LONGEST = 900
"""Seconds; mypy takes 50 of a quiet core where it has no cache."""
PROGRAMS = Path(__file__).parent / "programs"
ROOT = PROGRAMS.parents[2]
_EXPECTED = re.compile(r"# E: (.+)$")

Findings = dict[tuple[str, int], str]
"""File and line -> all that a checker says of it."""


def expected() -> Findings:
    found = {}
    for path in sorted(PROGRAMS.glob("*.py")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if match := _EXPECTED.search(line):
                found[path.name, number] = match[1]
    return found


def _mypy() -> Findings:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--show-absolute-path"]
    options = ["--config-file=", "--cache-dir", str(ROOT / ".mypy_cache" / "programs"), "--output=json"]
    done = subprocess.run(
        [*command, *options, "--follow-imports=silent", str(PROGRAMS)],
        cwd=ROOT, capture_output=True, text=True, timeout=_LONGEST, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: Findings = {}
    for line in done.stdout.splitlines():
        finding = json.loads(line)
        place = Path(finding["file"]).name, finding["line"]
        found[place] = found.get(place, "") + finding["message"]
    return found


def _pyright(tmp_path: Path) -> Findings:
    settings = {
        "include": [str(PROGRAMS)],
        "extraPaths": [str(ROOT)],
        "pythonPath": sys.executable,
        "typeCheckingMode": "standard",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(
        [*command, "--project", str(tmp_path)], capture_output=True, text=True, timeout=_LONGEST, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(list(PROGRAMS.glob("*.py")))
    found: Findings = {}
    for finding in report["generalDiagnostics"]:
        if finding["severity"] == "error":
            place = Path(finding["file"]).name, finding["range"]["start"]["line"] + 1
            found[place] = found.get(place, "") + finding["message"]
    return found


@pytest.mark.combination
@pytest.mark.timeout(_LONGEST)
@pytest.mark.parametrize("checker", ["mypy", "basedpyright"])
def test_programs_of_users(checker: str, tmp_path: Path) -> None:
    if find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed: pip install --group lint")
    found, wanted = _mypy() if checker == "mypy" else _pyright(tmp_path), expected()

    assert {place: text for place, text in found.items() if place not in wanted} == {}
    assert {place: text for place, text in wanted.items() if place not in found} == {}
    # A missing or superfluous argument is reported for the call, others by their names.
    unnamed = {
        place: found[place] for place, text in wanted.items() if text.lower() not in found[place].lower()
    }
    assert unnamed == {}
