"""Plausible probabilities of the tokens in an answer."""

from __future__ import annotations

from typing import Any

from tests.gateway.tokens import split_tokens

_ALTERNATIVES = (" the", " a", " it", " and", ".", " is", " that", " one")


def logprobs(text: str | None, alternatives: int | None) -> dict[str, Any] | None:
    """Return the probabilities for a text, or nothing when none are wanted."""
    if alternatives is None:
        return None
    content = [_token(token, alternatives) for token in split_tokens(text or "")]
    return {"content": content, "refusal": None}


def _token(token: str, alternatives: int) -> dict[str, Any]:
    best = -round((sum(map(ord, token)) % 40) / 100, 2)
    others = [other for other in _ALTERNATIVES if other != token]
    others += [f" {at}" for at in range(len(others) + 1, alternatives)]
    ranked = [_entry(other, best - 1.5 * at) for at, other in enumerate([token, *others])]
    return {**ranked[0], "top_logprobs": ranked[:alternatives]}


def _entry(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": round(logprob, 2), "bytes": list(token.encode())}
