"""Usage as providers report it where it contradicts the protocol, with what was billed, and the source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from texapi_core.wire.usage import TokenUsage


@dataclass(frozen=True)
class Form:
    """One provider's form. `reports` has one object of the wire for each chunk that reports usage."""

    provider: str
    source: str
    reports: tuple[dict[str, Any], ...]
    billed: TokenUsage


FORMS = (
    Form(
        "xAI: reasoning beside the output",
        "https://github.com/Wei-Shaw/sub2api/issues/5771",
        (
            {
                "prompt_tokens": 10120,
                "completion_tokens": 1499,
                "total_tokens": 14428,
                "completion_tokens_details": {"reasoning_tokens": 2809},
                "cost_in_usd_ticks": 232856000,
            },
        ),
        TokenUsage(10120, 4308, 14428, reasoning_tokens=2809, cost=0.0232856),
    ),
    Form(
        "xAI: grok-3-mini",
        "https://github.com/vercel/ai/pull/12425",
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 1,
                "total_tokens": 399,
                "completion_tokens_details": {"reasoning_tokens": 386},
            },
        ),
        TokenUsage(12, 387, 399, reasoning_tokens=386),
    ),
    Form(
        "Gemini by a relay: thoughts only",
        "https://github.com/router-for-me/CLIProxyAPI/issues/5733",
        (
            {
                "completion_tokens": 0,
                "total_tokens": 81,
                "prompt_tokens": 21,
                "completion_tokens_details": {"reasoning_tokens": 60},
            },
        ),
        TokenUsage(21, 60, 81, reasoning_tokens=60),
    ),
    Form(
        "Gemini: thoughts in the total alone",
        "https://github.com/Clarifai/clarifai-python/pull/978",
        ({"prompt_tokens": 20, "completion_tokens": 424, "total_tokens": 1016},),
        TokenUsage(20, 996, 1016),
    ),
    Form(
        "Gemini's own names",
        "https://ai.google.dev/api/generate-content#UsageMetadata",
        (
            {
                "prompt_token_count": 10,
                "candidates_token_count": 5,
                "thoughts_token_count": 20,
                "cached_content_token_count": 4,
                "total_token_count": 35,
            },
        ),
        TokenUsage(10, 25, 35, cached_tokens=4, reasoning_tokens=20),
    ),
    Form(
        "Claude by a relay: cache beside the prompt",
        "https://github.com/Willxup/cpa-usage-keeper/issues/107",
        (
            {
                "prompt_tokens": 1,
                "completion_tokens": 209,
                "total_tokens": 210,
                "prompt_tokens_details": {"cached_tokens": 153483},
                "cache_creation_input_tokens": 1014,
            },
        ),
        TokenUsage(154498, 209, 154707, cached_tokens=153483, cache_creation_tokens=1014),
    ),
    Form(
        "Claude by a relay: cache in the total alone",
        "https://github.com/decolua/9router/pull/2658",
        (
            {
                "prompt_tokens": 300,
                "completion_tokens": 50,
                "total_tokens": 550,
                "cache_read_input_tokens": 200,
            },
        ),
        TokenUsage(500, 50, 550, cached_tokens=200),
    ),
    Form(
        "Anthropic's own names: cache beside the input by definition",
        "https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching#tracking-cache-performance",
        (
            {
                "input_tokens": 400,
                "output_tokens": 20,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 50,
            },
        ),
        TokenUsage(550, 20, 570, cached_tokens=100, cache_creation_tokens=50),
    ),
    Form(
        "Anthropic's stream: input first, output last",
        "https://docs.anthropic.com/en/docs/build-with-claude/streaming",
        (
            {"input_tokens": 1, "cache_read_input_tokens": 153483, "output_tokens": 1},
            {"output_tokens": 209},
        ),
        TokenUsage(153484, 209, 153693, cached_tokens=153483),
    ),
    Form(
        "LiteLLM: Anthropic's names inside the prompt",
        "https://docs.litellm.ai/docs/completion/prompt_caching",
        (
            {
                "prompt_tokens": 2000,
                "completion_tokens": 10,
                "total_tokens": 2010,
                "cache_read_input_tokens": 1500,
                "cache_creation_input_tokens": 400,
            },
        ),
        TokenUsage(2000, 10, 2010, cached_tokens=1500, cache_creation_tokens=400),
    ),
    Form(
        "Poolside, Hugging Face: cumulative on each chunk",
        "https://github.com/cline/cline/pull/12282",
        (
            {"prompt_tokens": 48, "completion_tokens": 1, "total_tokens": 49},
            {"prompt_tokens": 48, "completion_tokens": 8, "total_tokens": 56},
            {"prompt_tokens": 48, "completion_tokens": 16, "total_tokens": 64},
        ),
        TokenUsage(48, 16, 64),
    ),
    Form(
        "vLLM: cumulative on each chunk, with `continuous_usage_stats`",
        "https://github.com/vllm-project/vllm/issues/6540",
        (
            {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
            {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
        ),
        TokenUsage(7, 2, 9),
    ),
    Form(
        "Perplexity: cost as an object",
        "https://docs.perplexity.ai/api-reference/chat-completions-post",
        (
            {
                "prompt_tokens": 14,
                "completion_tokens": 70,
                "total_tokens": 84,
                "cost": {
                    "input_tokens_cost": 0.0,
                    "output_tokens_cost": 0.001,
                    "request_cost": 0.005,
                    "total_cost": 0.006,
                },
            },
        ),
        TokenUsage(14, 70, 84, cost=0.006),
    ),
    Form(
        "xAI's documented cost",
        "https://docs.x.ai/developers/cost-tracking",
        ({"prompt_tokens": 1, "completion_tokens": 1, "cost_in_usd_ticks": 37756000},),
        TokenUsage(1, 1, 2, cost=0.0037756),
    ),
    Form(
        "OpenRouter: cost as a number",
        "https://openrouter.ai/docs/use-cases/usage-accounting",
        (
            {
                "prompt_tokens": 194,
                "completion_tokens": 2,
                "total_tokens": 196,
                "cost": 0.95,
                "cost_details": {"upstream_inference_cost": 19},
            },
        ),
        TokenUsage(194, 2, 196, cost=0.95),
    ),
    Form(
        "DeepInfra: an estimated cost",
        "https://deepinfra.com/docs/openai_api",
        ({"prompt_tokens": 15, "completion_tokens": 16, "total_tokens": 31, "estimated_cost": 0.0000268},),
        TokenUsage(15, 16, 31, cost=0.0000268),
    ),
    Form(
        "a cost in another currency",
        "a relay's price in yuan is no price in dollars",
        ({"prompt_tokens": 15, "completion_tokens": 16, "cost": "0.2", "currency": "CNY"},),
        TokenUsage(15, 16, 31),
    ),
    Form(
        "a total that leaves no room for the reasoning",
        "what the total does not hold was not billed",
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 15,
                "completion_tokens_details": {"reasoning_tokens": 200},
            },
        ),
        TokenUsage(10, 5, 15, reasoning_tokens=5),
    ),
)
