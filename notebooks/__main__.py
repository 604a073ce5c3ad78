"""`make notebooks`: execute every notebook, record its requests, and save its outputs.

Uses the live service when `TEXAPI_API_KEY` is set; otherwise the notebooks start the stand-in gateway. With
names as arguments, only those: `python -m notebooks 01_langchain_quickstart`.
"""

from __future__ import annotations

import sys
import time

import nbformat

from notebooks import twins
from notebooks.execution import NOTEBOOKS, execute


def main(names: list[str]) -> int:
    """Execute the notebooks and write them back; 0 if none failed."""
    chosen = [path for path in NOTEBOOKS if not names or path.stem in names]
    if unknown := set(names) - {path.stem for path in chosen}:
        print(f"No such notebook: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 1
    for path in chosen:
        started = time.perf_counter()
        notebook = execute(path, record=True)
        nbformat.write(notebook, path)
        print(f"{path.name}: {time.perf_counter() - started:.1f} s")
    twins.update()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
