"""Prompts that ask for a judgement of an answer."""

from __future__ import annotations

import re

from tests.gateway.brain.context import overlap, supports

_FAITHFUL = re.compile(r"\A.*\nInformation: (.*?)\nContext: (.*?)\nAnswer:", re.DOTALL)
_RELEVANT = re.compile(r"Query and Response:\s*\n?(.*?)\nContext:\s*\n?(.*?)\nAnswer:", re.DOTALL)
_REFINED = re.compile(
    r"We want to understand if the following (?:information|query and response).*?:\s*(.*?)\n"
    r"We have provided an existing (YES/NO answer|evaluation score):\s*(.*?)\n"
    r".*?-{5,}\n(.*?)\n-{5,}",
    re.DOTALL,
)
_CORRECT = re.compile(
    r"## User Query\s*(.*?)\s*## Reference Answer\s*(.*?)\s*## Generated Answer\s*(.*)", re.DOTALL
)
_FEEDBACK = re.compile(r"Query:\s*\n?(.*?)\n(Response|Context):\s*\n?(.*?)\nFeedback:", re.DOTALL)
_PAIR = re.compile(
    r"\[User Question\]\n(.*?)\n\n.*?Assistant A.s Answer\]\n(.*?)\n\[The End.*?"
    r"Assistant B.s Answer\]\n(.*?)\n\[The End",
    re.DOTALL,
)


def evaluate(prompt: str) -> str | None:
    """Judge what a prompt holds, or return nothing when it asks for no judgement."""
    refined = _REFINED.search(prompt)
    if refined:
        return _judge_again(refined[1], refined[2], refined[3].strip(), refined[4])
    if "is supported by the context" in prompt:
        match = _FAITHFUL.search(prompt)
        return _yes(match is not None and supports(match[2], match[1]))
    match = _RELEVANT.search(prompt)
    if match:
        response = match[1].rsplit("Response:", 1)[-1]
        return _yes(supports(match[2], response))
    match = _CORRECT.search(prompt)
    if match:
        return _score(match[1], match[2], match[3])
    match = _FEEDBACK.search(prompt)
    if match and "[RESULT]" in prompt:
        return _feedback(match[1], match[2], match[3])
    match = _PAIR.search(prompt)
    return _compare(match[1], match[2], match[3]) if match else None


def _judge_again(statement: str, kind: str, existing: str, context: str) -> str:
    """Judge a statement once more with another context."""
    supported = supports(context, statement.rsplit("Response:", 1)[-1])
    if kind.startswith("YES"):
        return _yes(existing.upper().startswith("YES") or supported)
    return "The new context holds the information. [RESULT] 4.0" if supported else existing


def _score(query: str, reference: str, generated: str) -> str:
    """Score an answer from 1 to 5, by its reference when there is one."""
    wanted = reference if reference and reference != "(NO REFERENCE ANSWER SUPPLIED)" else query
    share = overlap(generated, wanted)
    score = 5.0 if share >= 0.8 else 4.0 if share >= 0.6 else 2.0 if share >= 0.25 else 1.0
    return f"{score}\nThe generated answer holds {round(100 * share)}% of what was expected."


def _feedback(query: str, kind: str, text: str) -> str:
    """Give feedback and points for a response or a context."""
    share = overlap(text, query)
    most = 2 if kind == "Response" else 4
    points = most if share >= 0.5 else most // 2 if share > 0 else 0
    result = str(points) if kind == "Response" else f"{points:.1f}"
    return (
        f"1. The {kind.lower()} speaks about {round(100 * share)}% of the words of the query.\n"
        f"2. It {'fits' if points == most else 'only partly fits'} the query.\n[RESULT] {result}"
    )


def _compare(query: str, first: str, second: str) -> str:
    """Tell which of two answers is better."""
    shares = overlap(first, query), overlap(second, query)
    verdict = "A" if shares[0] > shares[1] else "B" if shares[1] > shares[0] else "C"
    return f"Both answers were compared with the question. [[{verdict}]]"


def _yes(supported: bool) -> str:
    """Return the verdict as one word."""
    return "YES" if supported else "NO"
