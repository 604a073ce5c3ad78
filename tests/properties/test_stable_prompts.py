"""Equal conversations are the same bytes, in every process and after every copy, and grow only at their end.

Else a provider's prompt cache would not know them.
"""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from langchain_core.messages import messages_from_dict, messages_to_dict
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from llama_index.core.base.llms.types import ChatMessage

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.properties.line import Line
from tests.properties.stable_requests import (
    MCP,
    Order,
    Place,
    Stop,
    Trip,
    conversation,
    digests,
    llama_conversation,
)
from tests.properties.strategies import arguments, examples, texts
from tests.properties.test_cache_marks import unmarked
from tests.properties.test_histories import (
    Said,
    conversations,
    deformed,
    langchain,
    llama_index,
    says_anything,
)
from texapi_core.request.foreign import json_text
from texapi_core.request.tools import legal_tools

ROOT = Path(__file__).parents[2]
FORMATTED = [convert_to_openai_tool(each) for each in (Order, Trip)] + [MCP]
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "stop": st.lists(texts.filter(bool), max_size=2),
        "logit_bias": st.dictionaries(st.integers(0, 9).map(str), st.integers(-9, 9), max_size=3),
        "reasoning": arguments,
        "extra_body": st.fixed_dictionaries({"provider": arguments}),
        "cache_prompts": st.sampled_from([True, "1h", "key"]),
    },
)


@pytest.mark.combination
def test_requests_are_the_same_in_every_process() -> None:
    """Sets and addresses in memory differ between processes."""
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import json; from {digests.__module__} import digests; print(json.dumps(digests()))",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    there = json.loads(ended.stdout)

    assert len(there) == len(set(there)) > 10
    assert there == digests()


def test_the_conversations_have_what_differs_between_processes(line: Line) -> None:
    """A test of the test: without sorting, the requests above would not be the same."""
    assert "tags" in json.dumps(sent_by_langchain(line, conversation(), {})["messages"])
    assert any(isinstance(value, set) for value in conversation()[2].tool_calls[0]["args"].values())
    assert "uniqueItems" in json.dumps(Order.model_json_schema())


def sent_by_langchain(line: Line, messages: Sequence[Any], parameters: Any, model: Any = None) -> Any:
    model = (model or line.chat_texapi).bind(tools=FORMATTED)
    return _sent(line, lambda: model.invoke(list(messages), **parameters))


def sent_by_llama_index(line: Line, messages: Sequence[Any], parameters: Any, model: Any = None) -> Any:
    return _sent(line, lambda: (model or line.texapi).chat(list(messages), tools=FORMATTED, **parameters))


def _sent(line: Line, ask: Callable[[], Any]) -> Any:
    found: list[Any] = []

    def answer(body: Any) -> Sequence[bytes]:
        found.append(body)
        return [b'{"choices": [{"message": {"content": "ok"}}]}']

    line.answer = answer
    ask()
    (body,) = found
    return body


_SERDE = JsonPlusSerializer()
COPIES: dict[str, dict[str, Callable[[Any], Any]]] = {
    "LangChain": {
        "deep copy": copy.deepcopy,
        "copies of the model": lambda messages: [each.model_copy(deep=True) for each in messages],
        "pickle": lambda messages: pickle.loads(pickle.dumps(messages)),
        "dicts": lambda messages: messages_from_dict(json.loads(json.dumps(messages_to_dict(messages)))),
        "checkpoint": lambda messages: _SERDE.loads_typed(_SERDE.dumps_typed(messages)),
    },
    "LlamaIndex": {
        "deep copy": copy.deepcopy,
        "copies of the model": lambda messages: [each.model_copy(deep=True) for each in messages],
        "pickle": lambda messages: pickle.loads(pickle.dumps(messages)),
        "dump": lambda messages: [
            ChatMessage.model_validate_json(each.model_dump_json()) for each in messages
        ],
    },
}
ways_to_copy = pytest.mark.parametrize(
    ("framework", "way"), [(name, way) for name, ways in COPIES.items() for way in ways]
)


@ways_to_copy
@examples
@given(history=deformed(), parameters=PARAMETERS)
def test_a_copy_is_sent_as_its_original(
    line: Line, framework: str, way: str, history: list[Said], parameters: Any
) -> None:
    assume(says_anything(history))
    make, send = (
        (langchain, sent_by_langchain) if framework == "LangChain" else (llama_index, sent_by_llama_index)
    )
    messages = [make(said) for said in history]

    copied = COPIES[framework][way](messages)

    first = json.dumps(send(line, messages, parameters))
    assert json.dumps(send(line, copied, copy.deepcopy(parameters))) == first


@examples
@given(parameters=PARAMETERS)
def test_a_copied_model_sends_the_same(line: Line, parameters: Any) -> None:
    where: dict[str, Any] = {"http_client": line.http_client, "http_async_client": line.http_async_client}
    plain: dict[str, Any] = {"api_key": "sk-tex-line", "model": "m", "max_retries": 0, **parameters}
    chat = ChatTexAPI(base_url="http://gateway.invalid/v1", **plain)
    llm = TexAPI(api_base="http://gateway.invalid/v1", **plain)
    for send, model, messages in (
        (sent_by_langchain, chat, conversation()),
        (sent_by_llama_index, llm, llama_conversation()),
    ):
        sent: list[str] = []
        for each in (model, copy.deepcopy(model), model.model_copy(), pickle.loads(pickle.dumps(model))):
            each = each.model_copy(update=where)
            sent.append(json.dumps(send(line, messages, {}, each)))
        assert len(set(sent)) == 1


@pytest.mark.parametrize("framework", ["LangChain", "LlamaIndex"])
@examples
@given(history=conversations(ids_repeat=True) | deformed(), parameters=PARAMETERS)
def test_a_turn_is_a_prefix_of_the_next_with_tools_and_schemas(
    line: Line, framework: str, history: list[Said], parameters: Any
) -> None:
    assume(says_anything(history) and history[-1].role == "user")
    make, send = (
        (langchain, sent_by_langchain) if framework == "LangChain" else (llama_index, sent_by_llama_index)
    )
    longer = [*history, Said("assistant", "So.", reasoning="Hm."), Said("user", "And now?", image=True)]

    first = send(line, [make(said) for said in history], parameters)
    second = send(line, [make(said) for said in longer], parameters)

    start = unmarked(second.pop("messages"))[: len(first["messages"])]
    assert json.dumps(start) == json.dumps(unmarked(first.pop("messages")))
    # All else is the same, before the messages and after them.
    assert json.dumps(first) == json.dumps(second)


def test_models_and_dataclasses_in_arguments_are_objects() -> None:
    text = json_text({"home": Place(city="Huế"), "stop": Stop({"b", "a"})}, "x")

    found = json.loads(text)
    assert found["stop"] == {"tags": ["a", "b"]}
    assert found["home"]["kinds"] == ["capital", "market", "port", "village"]


class NamedSets(Order):
    by_name: dict[str, set[str]] = {"one": {"aa", "bb", "cc", "dd"}}


def test_sets_anywhere_in_a_schema_are_sorted() -> None:
    (sent,) = legal_tools(
        [{"type": "function", "function": {"name": "o", "parameters": NamedSets.model_json_schema()}}]
    )
    members = sent["function"]["parameters"]["properties"]

    assert members["home"]["default"]["kinds"] == ["capital", "market", "port", "village"]
    assert members["groups"]["default"] == [["aa", "bb", "cc", "dd"]]
    assert members["by_name"]["default"] == {"one": ["aa", "bb", "cc", "dd"]}
    assert members["maybe"]["default"] == ["aa", "bb", "cc"]
    own = {"type": "object", "properties": {"a": {"type": "string", "x-tags": {"tt", "uu", "vv"}}}}
    (sent,) = legal_tools([{"type": "function", "function": {"name": "o", "parameters": own}}])
    assert sent["function"]["parameters"]["properties"]["a"]["x-tags"] == ["tt", "uu", "vv"]
