"""Prints what the subcommands learn without a ledger: models, prices, limits, findings."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from texapi_core.accounting.prices import PriceList
from texapi_core.cli.doctor.texts import TEXTS, WORDS, Check, Verdict
from texapi_core.cli.language import Language, say
from texapi_core.cli.rows import print_line, print_rows, print_table
from texapi_core.cli.terminal import cell_width, status, styled, width, wrapped
from texapi_core.wire.text import printable

if TYPE_CHECKING:
    from texapi_core.cli.doctor.examination import Finding

_MODEL_COLUMNS = {
    "model": "model",
    "max_input_tokens": "longest prompt",
    "max_output_tokens": "longest answer",
    "inputs": "reads",
    "tool_calling": "tools",
    "structured_output": "objects",
    "reasoning": "reasons",
    "input_usd": "in",
    "cached_input_usd": "cached",
    "output_usd": "out",
}


def print_models(rows: Sequence[Mapping[str, Any]], prices: PriceList, format: str) -> None:
    """Models, one per line, and the source of their prices."""
    if format != "table":
        print_rows(rows, format)
        return
    if not rows:
        print_line(say("No model of the key has such a name."))
        return
    print_table(rows, {name: say(text) for name, text in _MODEL_COLUMNS.items()}, _cell)
    print_line(say("in, cached, out: USD per million tokens; - is not known."))
    _print_source(prices)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return say("yes") if value else say("no")
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def print_limits(rows: Sequence[Mapping[str, Any]], format: str) -> None:
    """Rate limits, one per line."""
    if format != "table":
        print_rows(rows, format)
    elif not rows:
        print_line(say("No call has used limits there within the last hour."))
    else:
        titles = {name: name.replace("_", " ") for name in rows[0] if not name.startswith("stated")}
        print_table(rows, titles, _cell)


_PRICE_COLUMNS = {
    "model": "model",
    "input_usd": "in",
    "cached_input_usd": "cached",
    "output_usd": "out",
    "no_price_because": "no price because",
}


def print_prices(
    rows: Sequence[Mapping[str, Any]],
    prices: PriceList,
    faults: Sequence[str],
    format: str,
    *,
    only_faults: bool,
) -> None:
    """A price list with its source, and what is wrong with it."""
    if format != "table":
        print_rows([{"fault": fault} for fault in faults] if only_faults else rows, format)
        return
    if rows and not only_faults:
        print_table(rows, {name: say(text) for name, text in _PRICE_COLUMNS.items()}, _cell)
        print_line(say("in, cached, out: USD per million tokens; - is not known."))
    elif not only_faults:
        print_line(say("No model of the list has such a name."))
    _print_source(prices)
    for fault in faults:
        print_line(fault)
    if not faults:
        print_line(say("Nothing is wrong with the list."))


def _print_source(prices: PriceList) -> None:
    source = f"{prices.source or say('the file of TEXAPI_PRICES')}{', ' if prices.date else ''}{prices.date}"
    print_line(say("Prices: {source}.", source=source))
    if prices.listed:
        print_line(say("{count:,} prices are the gateway's own.", count=len(prices.listed)))


_COLORS = {"ok": "green", "warning": "yellow", "fault": "red", "skipped": "dim"}


def print_findings(findings: Iterable[Finding], language: Language, format: str) -> list[Finding]:
    """Findings of the doctor, each as soon as it is available in a table. Returns them."""
    words, printed, remaining = WORDS[language], [], iter(findings)
    while True:
        with status(words["progress"]):  # must end before anything is printed
            finding = next(remaining, None)
        if finding is None:
            break
        printed.append(finding)
        if format == "table":
            _print_finding(finding, language)
    if format != "table":
        print_rows([_finding_row(finding, language) for finding in printed], format)
        return printed
    verdicts = {finding.verdict for finding in printed}
    summary = "ill" if "fault" in verdicts else "warned" if "warning" in verdicts else "well"
    sys.stdout.write(styled(words[summary], "bold") + "\n")
    return printed


def _finding_row(finding: Finding, language: Language) -> dict[str, str]:
    what, way_out = (sentence.format_map(finding.values) for sentence in TEXTS[language][finding.text])
    return {"check": finding.check, "verdict": finding.verdict, "what": what, "way_out": way_out}


def _print_finding(finding: Finding, language: Language) -> None:
    words, row = WORDS[language], _finding_row(finding, language)
    columns = [max(cell_width(words[name]) for name in get_args(names)) for names in (Verdict, Check)]
    verdict, check = (
        f"{word}{' ' * (room - cell_width(word))}"
        for word, room in zip((words[finding.verdict], words[finding.check]), columns, strict=True)
    )
    head = f"{styled(verdict, _COLORS[finding.verdict])}  {check}  "
    margin = " " * (sum(columns) + 4)
    for text, style in ((row["what"], ""), (f"→ {row['way_out']}" if row["way_out"] else "", "italic")):
        for line in wrapped(printable(text), max(width() - len(margin), 20)) if text else ():
            sys.stdout.write(f"{head}{styled(line, style) if style else line}\n")
            head = margin
    sys.stdout.flush()
