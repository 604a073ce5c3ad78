"""`python -m tests.model_table`: what the installed packages say of models; `--write` makes both tables."""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.model_table.merge import Merged, merge, read_sources
from tests.model_table.prices import REASONS, price_rows, unpriced
from tests.model_table.sources import LITELLM, PROFILES, Facts, installed
from texapi_core.catalog import FLAGS

_DATA = Path(__file__).parents[2] / "texapi_core" / "data"
_SIGNS = {True: "+", False: "-", None: "?"}


def written(facts: Facts) -> dict[str, Any]:
    """A row of `models.json`. `texapi_core.catalog.read_row` reads it."""
    row = {
        name: " ".join(fact) if isinstance(fact, list) else fact
        for name, fact in facts.items()
        if name not in FLAGS
    }
    if row.get("max_input_tokens") == row.get("context_window"):
        row.pop("max_input_tokens", None)
    return row | {"flags": "".join(_SIGNS[facts.get(flag)] for flag in FLAGS)}


def model_table(merged: Merged, packages: Mapping[str, str], date: str) -> dict[str, Any]:
    """The content of `models.json`."""
    return {
        "source": "models.dev (https://github.com/sst/models.dev, MIT License) as amended in LangChain's "
        "packages, and litellm (https://github.com/BerriAI/litellm, MIT License)",
        "packages": dict(packages),
        "date": date,
        "flags": " ".join(FLAGS),
        "models": {name: written(facts) for name, facts in sorted(merged.rows.items())},
    }


def price_table(merged: Merged, packages: Mapping[str, str], date: str) -> dict[str, Any]:
    """The content of `prices.json`."""
    prices = price_rows(merged.rows)
    return {
        "source": f"litellm {packages[LITELLM]}, model_prices_and_context_window_backup.json "
        "(https://github.com/BerriAI/litellm, MIT License): the providers' own public prices, not TexAPI's",
        "date": date,
        "unit": "USD per million tokens",
        "reasons": REASONS,
        "models": prices,
        "unpriced": unpriced(merged.rows, prices),
    }


def _lines(table: Mapping[str, Any]) -> str:
    """JSON with one line for each member and for each row."""
    members = []
    for name, value in table.items():
        text = json.dumps(value, ensure_ascii=False)
        if name in ("models", "unpriced"):
            rows = [f"  {json.dumps(key)}: {json.dumps(row)}" for key, row in value.items()]
            text = "{\n" + ",\n".join(rows) + "\n }"
        members.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(members) + "\n}\n"


def main() -> None:
    """Print counts and disagreements, and write the tables if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write texapi_core/data")
    write = parser.parse_args().write
    packages = installed()
    if missing := {*PROFILES, LITELLM} - packages.keys():
        parser.error(f"not installed: {', '.join(sorted(missing))}")
    merged = merge(read_sources())
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    tables = {
        "models.json": model_table(merged, packages, date),
        "prices.json": price_table(merged, packages, date),
    }
    for package, count in merged.counts.items():
        print(f"{package} {packages[package]}: {count} models")
    for fact, names in sorted(merged.differ.items()):
        print(f"{fact}: {len(names)} models differ")
        for name, found in sorted(names.items()):
            print(f"  {name}: {', '.join(f'{source} {value}' for source, value in found.items())}")
    for file, table in tables.items():
        print(f"{file}: {len(table['models'])} models")
        if write:
            (_DATA / file).write_text(_lines(table), "utf-8")


if __name__ == "__main__":
    main()
