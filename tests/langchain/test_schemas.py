"""Schemas that LangChain's own conversion would break: recursive ones, and strict ones of agents."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_texapi._tools import format_response_format, format_tools
from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.langchain.test_chat import model
from texapi_core.request.tools import with_legal_response_schema


class Node(BaseModel):
    """A node of a tree."""

    value: int
    children: list[Node] = []


class Forest(BaseModel):
    """Several trees."""

    trees: list[Node]


class Inner(BaseModel):
    """A nested object."""

    x: int | None = None


class Answer(BaseModel):
    """An answer."""

    result: int
    inner: Inner | None = None


class OpenAnswer(Answer):
    """An answer of any members."""

    anything: dict[str, Any] = {}


@tool
def plant(tree: Node) -> str:
    """Plant a tree."""
    return str(tree)


def parameters_of(source: Any, form: str, strict: bool | None) -> dict[str, Any]:
    """The JSON schema that is sent for a source."""
    if form == "tool":
        parameters: dict[str, Any] = format_tools([source], strict=strict)[0]["function"]["parameters"]
        return parameters
    payload = {"response_format": format_response_format(source, strict=strict)}
    schema: dict[str, Any] = with_legal_response_schema(payload)["response_format"]["json_schema"]["schema"]
    return schema


@pytest.mark.parametrize("strict", [None, True])
@pytest.mark.parametrize("form", ["tool", "response_format"])
@pytest.mark.parametrize(("source", "member"), [(Node, "children"), (Forest, "trees"), (plant, "tree")])
def test_a_recursive_class_refers_to_itself(source: Any, member: str, form: str, strict: bool | None) -> None:
    schema = parameters_of(source, form, strict)

    reference = {"$ref": "#/$defs/Node"}
    found = schema["properties"][member]
    assert found.get("items", found) == reference
    node = schema["$defs"]["Node"]
    assert node["properties"]["children"]["items"] == reference
    assert schema["type"] == "object"
    assert "$ref" not in schema
    if strict:
        assert node["required"] == ["value", "children"]
        assert node["additionalProperties"] is schema["additionalProperties"] is False


@pytest.mark.parametrize("form", ["tool", "response_format"])
def test_any_other_class_is_inlined(form: str) -> None:
    assert "$defs" not in parameters_of(Answer, form, None)


def test_a_class_keeps_its_name_and_description() -> None:
    function = format_tools([Node])[0]["function"]
    described = format_response_format(Node)["json_schema"]

    assert (function["name"], function["description"]) == ("Node", "A node of a tree.")
    assert (described["name"], described["description"]) == ("Node", "A node of a tree.")


def objects_in(schema: Any) -> list[dict[str, Any]]:
    """Every object with properties in a schema."""
    if isinstance(schema, list):
        return [found for each in schema for found in objects_in(each)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if isinstance(schema.get("properties"), dict) else []
    return own + [found for each in schema.values() for found in objects_in(each)]


def test_a_strict_agent_sends_a_strict_schema(gateway: Gateway, endpoint: Endpoint) -> None:
    before = Answer.model_json_schema()
    agent: Any = create_agent(model(endpoint), [], response_format=ProviderStrategy(Answer, strict=True))

    agent.invoke({"messages": [("user", "result: 5, x: 1. Answer in JSON.")]})

    described = gateway.requests[0].body["response_format"]["json_schema"]
    assert described["strict"] is True
    objects = objects_in(described["schema"])
    assert len(objects) == 2
    for each in objects:
        assert each["additionalProperties"] is False
        assert each["required"] == list(each["properties"])
    assert Answer.model_json_schema() == before


def test_an_agent_that_is_not_strict_sends_the_original_schema(gateway: Gateway, endpoint: Endpoint) -> None:
    agent: Any = create_agent(model(endpoint), [], response_format=ProviderStrategy(OpenAnswer))

    agent.invoke({"messages": [("user", "result: 5, x: 1. OpenAnswer in JSON.")]})

    described = gateway.requests[0].body["response_format"]["json_schema"]
    assert described["schema"] == OpenAnswer.model_json_schema()
