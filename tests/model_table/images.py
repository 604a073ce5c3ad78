"""How models count images: rules of `texapi_core.request.image_tokens`, by the makers' documentation.

The sizes and factors of OpenAI's newer models are those in litellm 1.110.2, which names OpenAI's pages.
"""

from __future__ import annotations

import re

_TABLE = (
    (r"gpt-4o-mini", "tiles 2833 5667"),
    (r"gpt-4-1-mini", "patches 32 2048 6144 1.62"),
    (r"gpt-4-1-nano|gpt-5-nano", "patches 32 2048 1536 2.46"),
    (r"gpt-4o|gpt-4-1|gpt-4-turbo|chatgpt-4o", "tiles 85 170"),
    (r"o4-mini", "patches 32 2048 1536 1.72"),
    (r"gpt-5-mini", "patches 32 2048 1536 1.62"),
    (r"o[13](-|$)", "tiles 75 150"),
    (r"gpt-5-[23](-|$)", "patches 32 2048 6144 1.2"),
    (r"gpt-5-4(-|$)", "patches 32 2048 2500 1.2"),
    (r"gpt-5-5(-|$)", "patches 32 6000 10000 1.2"),
    (r"gpt-5-6|gpt-[6-9]", "patches 32 65535 30000 1.2"),
    (r"gpt-5", "tiles 70 140"),
    (r"claude-[a-z]+-(4-[7-9]|[5-9])", "patches 28 2576 4784 1"),
    (r"claude", "patches 28 1568 1568 1"),
    (r"gemini-2", "squares 768 258"),
    (r"gemini-[3-9]", "fixed 1120"),
)
_RULES = tuple((re.compile(pattern), rule) for pattern, rule in _TABLE)


def image_rule(name: str) -> str | None:
    """How the model of a name in the table counts images, `None` if its maker does not say."""
    return next((rule for pattern, rule in _RULES if pattern.match(name)), None)
