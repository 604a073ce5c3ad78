"""`python -m tests.soak [--calls 10000]`: run the load in a child process and the ledger in this one."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version

from tests.gateway import Fault, Gateway
from tests.soak.load import Outcome, run

_QUEUED_FAULTS = 0.02
"""The share of requests with a transient failure, fixed by a retry; 3 % more have a permanent one."""
_TRANSIENT = [
    Fault(status=503, headers={"retry-after-ms": "5"}),
    Fault(status=429, headers={"retry-after-ms": "5"}),
    Fault(status=500, message="server error", headers={"retry-after-ms": "5"}),
    Fault(
        status=429,
        message="Rate limit reached for requests. Visit the billing page to raise it. Try again in 5ms.",
        headers={"retry-after-ms": "5"},
    ),
]
_MAX_GROWTH = 0.05
"""The limit of the memory at the end relative to that after a fifth of the calls."""


def main() -> int:
    """Print the figures; return 1 if one of them is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--limit", type=float, default=600.0, help="time limit of the run in seconds")
    options = parser.parse_args()
    started = time.monotonic()
    with Gateway() as gateway:
        outcomes, memory = _load(gateway, options.calls, options.limit)
        seconds = time.monotonic() - started
        return _report(gateway, options.calls, outcomes, memory, seconds)


def _load(gateway: Gateway, calls: int, limit: float) -> tuple[list[Outcome], list[float]]:
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=run, args=(sending, gateway.base_url, gateway.key, calls), daemon=True)
    child.start()
    sending.close()
    over = threading.Event()
    queueing = threading.Thread(target=_queue_faults, args=(gateway, over), daemon=True)
    queueing.start()
    outcomes: list[Outcome] = []
    memory: list[float] = []
    deadline = time.monotonic() + limit
    try:
        while receiving.poll(max(deadline - time.monotonic(), 0)) and (batch := receiving.recv()) is not None:
            outcomes += batch[0]
            memory += [batch[1]] if batch[1] else []
            print(f"\r{len(outcomes):6d} of {calls} calls", end="", file=sys.stderr, flush=True)
    except EOFError:
        print("the load process ended early", file=sys.stderr)
    finally:
        over.set()
        queueing.join()
        child.terminate()
        child.join()
    print(file=sys.stderr)
    return outcomes, memory


def _queue_faults(gateway: Gateway, over: threading.Event) -> None:
    """Keep the share of queued faults constant."""
    queued = 0
    while not over.wait(0.02):
        while queued < len(gateway.requests) * _QUEUED_FAULTS:
            gateway.misbehave(_TRANSIENT[queued % len(_TRANSIENT)])
            queued += 1


def _report(
    gateway: Gateway, calls: int, outcomes: list[Outcome], memory: list[float], seconds: float
) -> int:
    packages = ("texapi-integrations", "openai", "langchain-core", "llama-index-core")
    print(", ".join(f"{name} {version(name)}" for name in packages))
    figures = _figures(gateway, calls, outcomes)
    for name, (figure, _) in figures.items():
        print(f"{name:42} {figure:>12}")
    print(f"{'seconds':42} {seconds:>12.1f}")
    wrong = [name for name, (_, right) in figures.items() if not right]
    if memory:
        settled = memory[max(len(memory) // 5 - 1, 0)]
        points = " ".join(f"{each:.1f}" for each in (memory[0], settled, memory[-1]))
        print(f"{'memory: first batch, a fifth, end (MiB)':42} {points:>12}")
        wrong += ["memory"] if memory[-1] > settled * (1 + _MAX_GROWTH) else []
    print("all right" if not wrong else f"WRONG: {', '.join(wrong)}")
    return 1 if wrong else 0


def _figures(gateway: Gateway, calls: int, outcomes: list[Outcome]) -> dict[str, tuple[object, bool]]:
    """Each figure, and whether it is as expected."""
    ledger = {entry.request_id: entry for entry in gateway.ledger}
    user_of = {
        entry.request_id: request.body["user"]
        for entry, request in zip(gateway.ledger, gateway.requests, strict=True)
    }
    tokens_of = {name: (entry.prompt_tokens, entry.completion_tokens) for name, entry in ledger.items()}
    answers = [outcome for outcome in outcomes if not outcome.error]
    served = [entry for entry in ledger.values() if entry.completed]
    billed = Counter(user_of[name] for name, entry in ledger.items() if entry.completion_tokens)
    transient = sum(entry.status in (429, 500, 503) for entry in ledger.values())
    final = sum(each.error.startswith("TexAPIInsufficient") for each in outcomes)
    lost = [each for each in outcomes if each.error != each.expected or not (each.error or each.answered)]
    seen = [outcome.tokens or (0, 0) for outcome in answers]
    return {
        "calls": (len(outcomes), len(outcomes) == calls),
        "requests at the server": (len(ledger), True),
        "failures fixed by a retry": (transient - final, True),
        "failures that must not be retried": (sum(bool(each.expected) for each in outcomes), True),
        "answers": (len(answers), len(answers) == len(served)),
        "lost: no answer, no expected error": _none(lost),
        "answers of another call": _none(
            [each for each in answers if user_of[each.request_id or ""] != f"call-{each.number}"]
        ),
        "doubled: billed more than once": _none([user for user, times in billed.items() if times > 1]),
        "calls with other tokens than the ledger": _none(
            [each for each in answers if each.tokens != tokens_of[each.request_id or ""]]
        ),
        "prompt tokens, seen and in the ledger": _equal(
            sum(tokens[0] for tokens in seen), sum(entry.prompt_tokens for entry in served)
        ),
        "completion tokens, seen and in the ledger": _equal(
            sum(tokens[1] for tokens in seen), sum(entry.completion_tokens for entry in served)
        ),
    }


def _none(bad: Sequence[object]) -> tuple[int, bool]:
    return len(bad), not bad


def _equal(seen: int, served: int) -> tuple[str, bool]:
    return f"{seen} {served}", seen == served


if __name__ == "__main__":
    sys.exit(main())
