"""A LangChain program. Lines with `# E:` are refused by both checkers, all others are accepted."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypedDict, assert_type

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from pydantic import BaseModel, SecretStr

from langchain_texapi import ChatTexAPI, RawAndParsed


class Person(BaseModel):
    name: str
    age: int


class City(TypedDict):
    name: str


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}"


# Constructors

model = ChatTexAPI(model="gpt-5.2", api_key="sk-tex-1", temperature=0, max_tokens=200)
ChatTexAPI(model="gpt-5.2", api_key=SecretStr("sk-tex-1"), base_url="https://example.com/v1")
ChatTexAPI(model="gpt-5.2", api_key=os.environ.get("TEXAPI_API_KEY"), timeout=30)
ChatTexAPI(model="gpt-5.2", default_headers={"X-Team": SecretStr("a")}, tags=["a"], max_cost=2.5)
ChatTexAPI(model="gpt-5.2", default_headers={"X-Team": "a"}, stop_sequences=["END"], cache_prompts="5m")
ChatTexAPI(model="gpt-5.2", limits={"requests_per_minute": 60}, budgets=[{"max_cost": 1}])
ChatTexAPI(model="gpt-5.2", temprature=0)  # E: temprature
ChatTexAPI(model="gpt-5.2", temperature="hot")  # E: temperature
ChatTexAPI(model="gpt-5.2", api_key=1)  # E: api_key
ChatTexAPI(model="gpt-5.2", max_retries="2")  # E: max_retries
ChatTexAPI(model="gpt-5.2", history="repair")  # E: history
ChatTexAPI(model="gpt-5.2", organization="org")  # E: organization
ChatTexAPI(temperature=0)  # E: model
ChatTexAPI("gpt-5.2")  # E: positional

# Answers

assert_type(model.invoke("Xin chào"), AIMessage)
assert_type(model.stream("Xin chào"), Iterator[AIMessageChunk])
assert_type(model.astream("Xin chào"), AsyncIterator[AIMessageChunk])
text: str = model.invoke([("system", "Be brief."), ("user", "Hello")]).text
for chunk in model.stream("Hello"):
    print(chunk.text, chunk.usage_metadata)

# Tools

assert_type(model.bind_tools([weather]), Runnable[LanguageModelInput, AIMessage])
model.bind_tools([weather, Person], tool_choice="any", parallel_tool_calls=False)
model.bind_tools([weather], strict="yes")  # E: strict
calls = model.bind_tools([weather]).invoke("Hà Nội?").tool_calls
print(calls[0]["name"], calls[0]["args"])

# Structured output

person = model.with_structured_output(Person).invoke("Lan is 30.")
assert_type(person, Person)
print(person.name.upper(), person.age + 1)
print(person.nmae)  # E: nmae
assert_type(model.with_structured_output(City, method="json_schema").invoke("Huế"), City)
assert_type(model.with_structured_output(Person, include_raw=False).invoke("Lan"), Person)
answer = model.with_structured_output(Person, include_raw=True).invoke("Lan is 30.")
assert_type(answer, RawAndParsed[Person])
assert_type(answer["raw"], AIMessage)
assert_type(answer["parsed"], Person | None)
assert_type(answer["parsing_error"], BaseException | None)
print(answer["parsed"].name)  # E: name
print(answer["prased"])  # E: prased
schema: dict[str, Any] = {"title": "person", "type": "object", "properties": {"name": {"type": "string"}}}
print(model.with_structured_output(schema).invoke("Lan")["name"])
model.with_structured_output(Person, method="yaml")  # E: with_structured_output
assert_type(model.with_structured_output(Person).stream("Lan is 30."), Iterator[Person])


async def main() -> None:
    assert_type(await model.ainvoke("Xin chào"), AIMessage)
    assert_type(await model.with_structured_output(Person).ainvoke("Lan"), Person)
    async for chunk in model.astream("Hello"):
        print(chunk.text)
    print([each.id for each in await model.alist_models()])


asyncio.run(main())
