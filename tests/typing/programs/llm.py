"""A LlamaIndex program. Lines with `# E:` are refused by both checkers, all others are accepted."""

from __future__ import annotations

import asyncio
import os
from typing import assert_type

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, SecretStr

from llama_index_texapi import TexAPI


class Person(BaseModel):
    name: str
    age: int


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


# Constructors

llm = TexAPI(model="gpt-5.2", api_key="sk-tex-1", temperature=0, max_tokens=200)
TexAPI("gpt-5.2", api_key=SecretStr("sk-tex-1"), api_base="https://example.com/v1")
TexAPI(model="gpt-5.2", api_key=os.environ.get("TEXAPI_API_KEY"), base_url="https://example.com/v1")
TexAPI(model="gpt-5.2", fallback_models=["gpt-5-mini"], context_window=128_000, system_prompt="Be brief.")
TexAPI(model="gpt-5.2", temprature=0)  # E: temprature
TexAPI(model="gpt-5.2", temperature="hot")  # E: temperature
TexAPI(model="gpt-5.2", api_key=1)  # E: api_key
TexAPI(model="gpt-5.2", fallback_models="gpt-5-mini")  # E: fallback_models
TexAPI(model="gpt-5.2", is_chat_model=True)  # E: is_chat_model
TexAPI(temperature=0)  # E: model

# Answers

messages = [ChatMessage("Hello")]
assert_type(llm.complete("Xin chào"), CompletionResponse)
assert_type(llm.chat(messages), ChatResponse)
for response in llm.stream_chat(messages):
    assert_type(response, ChatResponse)
    print(response.delta)
for completion in llm.stream_complete("Hello"):
    assert_type(completion, CompletionResponse)
llm.complete(messages)  # E: "complete"

# Tools

tools = [FunctionTool.from_defaults(weather)]
with_tools = llm.chat_with_tools(tools, user_msg="Hà Nội?")
assert_type(with_tools, ChatResponse)
print([call.tool_kwargs for call in llm.get_tool_calls_from_response(with_tools)])

# Structured output

person = llm.structured_predict(Person, PromptTemplate("{text}"), text="Lan is 30.")
assert_type(person, Person)
print(person.name.upper(), person.age + 1)
print(person.nmae)  # E: nmae
assert_type(llm.structured_predict(list[Person], PromptTemplate("Two people")), list[Person])
assert_type(llm.as_structured_llm(Person), StructuredLLM)


async def main() -> None:
    assert_type(await llm.acomplete("Xin chào"), CompletionResponse)
    assert_type(await llm.achat(messages), ChatResponse)
    async for response in await llm.astream_chat(messages):
        assert_type(response, ChatResponse)
    assert_type(await llm.astructured_predict(Person, PromptTemplate("{text}"), text="Lan"), Person)


asyncio.run(main())
