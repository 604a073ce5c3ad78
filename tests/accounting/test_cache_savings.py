"""What the prompt cache saved is in message, record, ledger and report: the same amount."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage

from tests import texapi_command
from tests.asking import WAYS
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.test_prompt_cache import HISTORY, chat, llm
from texapi_core.accounting import open_for_reading, read_usage
from texapi_core.accounting.ledger import flush_ledgers
from texapi_core.accounting.ledger.report import read_calls
from texapi_core.accounting.prices import ModelPrice
from texapi_core.wire.usage import TokenUsage

PRICES = {"claude-sonnet-4-6": {"input": 3, "output": 15, "cached_input": "0.3", "cache_creation": "3.75"}}


@pytest.mark.parametrize(
    ("usage", "price", "saved"),
    [
        ({"input_tokens": 10, "cached_tokens": 4}, {"cached_input": "0.3"}, "0.0000108"),
        ({"input_tokens": 10, "cached_tokens": 0}, {"cached_input": "0.3"}, "0"),
        ({"input_tokens": 10, "cached_tokens": 4}, {}, None),
        ({"input_tokens": 10}, {"cached_input": "0.3"}, None),
        ({"cached_tokens": 4}, {"cached_input": "0.3"}, None),
        ({"input_tokens": 10, "cached_tokens": 4}, {"cached_input": "0.3", "max_input_tokens": 9}, None),
    ],
)
def test_savings_by_a_price(usage: dict[str, Any], price: dict[str, Any], saved: str | None) -> None:
    amounts: dict[str, Any] = {
        name: Decimal(value) if isinstance(value, str) else value for name, value in price.items()
    }
    found = ModelPrice(input=Decimal(3), output=Decimal(15), **amounts).cache_savings(TokenUsage(**usage))

    assert found == (None if saved is None else Decimal(saved))


async def metadata(framework: str, endpoint: Endpoint, way: str, **kwargs: Any) -> dict[str, Any]:
    if framework == "LangChain":
        model = chat(endpoint, **kwargs)
        messages: Any = list(HISTORY)
        if way == "whole":
            return dict(model.invoke(messages).response_metadata)
        if way == "awhole":
            return dict((await model.ainvoke(messages)).response_metadata)
        chunks: list[Any] = (
            list(model.stream(messages))
            if way == "stream"
            else [chunk async for chunk in model.astream(messages)]
        )
        return dict(sum(chunks[1:], chunks[0]).response_metadata)
    texapi = llm(endpoint, **kwargs)
    said = [ChatMessage(text, role=role) for role, text in HISTORY]
    if way == "whole":
        return texapi.chat(said).additional_kwargs
    if way == "awhole":
        return (await texapi.achat(said)).additional_kwargs
    if way == "stream":
        return list(texapi.stream_chat(said))[-1].additional_kwargs
    return [response async for response in await texapi.astream_chat(said)][-1].additional_kwargs


@pytest.mark.parametrize("framework", ["LangChain", "LlamaIndex"])
@pytest.mark.parametrize("way", WAYS)
async def test_message_ledger_and_report_agree(
    gateway: Gateway, endpoint: Endpoint, tmp_path: Path, framework: str, way: str
) -> None:
    url = f"sqlite:///{tmp_path}/usage.db"
    settings = {"cache_prompts": True, "prices": PRICES, "usage_ledger": url}
    first = await metadata(framework, endpoint, way, **settings)
    second = await metadata(framework, endpoint, way, **settings)

    cached = gateway.ledger[1].cached_tokens
    saved = Decimal(cached) * Decimal("2.7") / 1_000_000
    assert cached > 50
    assert "cache_savings" not in first
    assert second["cache_savings"] == float(saved)
    assert flush_ledgers()
    with open_for_reading(url) as engine:
        assert [row["cache_savings"] for row in read_calls(engine)] == [saved, None]
        (line,) = read_usage(engine, ["model"])
    assert (line.cached_tokens, line.cache_savings) == (cached, saved)
    output = texapi_command.run(["usage", "--ledger", url, "--format", "json"]).output
    assert Decimal(json.loads(output)[0]["cache_savings_usd"]) == saved
    table = texapi_command.run(["usage", "--ledger", url], env={"COLUMNS": "160"}).output
    assert "saved USD" in table
    assert f"{saved:.6f}" in table
