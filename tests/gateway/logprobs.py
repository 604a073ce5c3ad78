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
    """Return the probability of one token, which depends only on its text."""
    best = -round((sum(map(ord, token)) % 40) / 100, 2)
    others = [other for other in _ALTERNATIVES if other != token]
    ranked = [_entry(token, best)]
    ranked += [_entry(other, best - 1.5 * (at + 1)) for at, other in enumerate(others)]
    while len(ranked) < alternatives:
        ranked.append(_entry(f" {len(ranked)}", best - 1.5 * len(ranked)))
    return {**_entry(token, best), "top_logprobs": ranked[:alternatives]}


def _entry(token: str, logprob: float) -> dict[str, Any]:
    """Return one token with its probability."""
    return {"token": token, "logprob": round(logprob, 2), "bytes": list(token.encode())}
