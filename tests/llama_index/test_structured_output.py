"""Structured predictions: the tool is forced, the system prompt kept, and errors describe the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.program import FunctionCallingProgram, LLMTextCompletionProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, model_validator

from llama_index_texapi import TexAPI
from tests.conformance import answers
from tests.conftest import Endpoint
from tests.gateway import Fault, Gateway
from tests.llama_index.test_chat import llm

PROMPT = PromptTemplate("name: {name}, age: 30. Answer in JSON with the keys name and age.")


class Person(BaseModel):
    """A person."""

    name: str
    age: int


LAN = Person(name="Lan", age=30)


def predict(llm: TexAPI, output_cls: type[BaseModel] = Person) -> Any:
    return llm.structured_predict(output_cls, PROMPT, name="Lan")


def apredict(llm: TexAPI, output_cls: type[BaseModel] = Person) -> Any:
    return asyncio.run(llm.astructured_predict(output_cls, PROMPT, name="Lan"))


def stream(llm: TexAPI, output_cls: type[BaseModel] = Person) -> Any:
    return list(llm.stream_structured_predict(output_cls, PROMPT, name="Lan"))[-1]


def astream(llm: TexAPI, output_cls: type[BaseModel] = Person) -> Any:
    async def last() -> Any:
        partials = await llm.astream_structured_predict(output_cls, PROMPT, name="Lan")
        return [partial async for partial in partials][-1]

    return asyncio.run(last())


WAYS = [predict, apredict, stream, astream]
Way = Callable[..., Any]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("by_schema", [False, True])
def test_an_object(recorded: Endpoint, way: Way, by_schema: bool) -> None:
    assert way(llm(recorded, should_use_structured_outputs=by_schema)) == LAN


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("by_schema", [False, True])
def test_requests_of_each_method(gateway: Gateway, endpoint: Endpoint, way: Way, by_schema: bool) -> None:
    way(llm(endpoint, should_use_structured_outputs=by_schema, system_prompt="Be {exact}."))

    (request,) = gateway.requests
    assert [message["role"] for message in request.body["messages"]] == ["system", "user"]
    assert request.body["messages"][0]["content"] == "Be {exact}."
    if by_schema:
        assert request.body["response_format"]["json_schema"]["name"] == "Person"
        assert "tools" not in request.body
    else:
        assert request.body["tool_choice"] == "required"
        assert request.body["tools"][0]["function"]["name"] == "Person"


@pytest.mark.parametrize("by_schema", [False, True])
def test_partial_objects_never_go_backwards(endpoint: Endpoint, by_schema: bool) -> None:
    model = llm(endpoint, should_use_structured_outputs=by_schema)
    names: list[str] = []
    ages: list[int] = []

    partial: Any
    for partial in model.stream_structured_predict(Person, PROMPT, name="Lan"):
        names += [partial.name] if partial.name is not None else [""]
        ages += [partial.age] if partial.age is not None else [0]

    assert [len(name) for name in names] == sorted(len(name) for name in names)
    assert ages == sorted(ages)


def answer(content: str | None, finish_reason: str = "stop", **message: Any) -> Fault:
    whole = {"role": "assistant", "content": content, **message}
    return Fault(
        body={"id": "c", "choices": [{"index": 0, "message": whole, "finish_reason": finish_reason}]}
    )


def text_answer(content: str, way: Way, finish_reason: str = "stop") -> Fault:
    """A text answer; in pieces if streamed."""
    if way in (predict, apredict):
        return answer(content, finish_reason)
    pieces = [answers.chunk({"content": content[at : at + 5]}) for at in range(0, len(content), 5)]
    return answers.stream(*pieces, answers.chunk({}, finish_reason))


def tool_call_answer(
    arguments: str, way: Way, finish_reason: str = "tool_calls", name: str = "Person"
) -> Fault:
    """A tool call; its arguments in pieces if streamed."""
    if way in (predict, apredict):
        call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
        return answer(None, finish_reason, tool_calls=[call])
    pieces = [{"id": "c1", "type": "function", "function": {"name": name, "arguments": ""}}]
    pieces += [{"function": {"arguments": arguments[at : at + 5]}} for at in range(0, len(arguments), 5)]
    deltas = [answers.chunk({"tool_calls": [{"index": 0, **piece}]}) for piece in pieces]
    return answers.stream(*deltas, answers.chunk({}, finish_reason))


@pytest.mark.parametrize("by_schema", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "content",
    [
        '{"name": "Lan", "age": 30}',
        '```json\n{"name": "Lan", "age": 30}\n```',
        'Here: {"name": "Lan", "age": 30}',
        'Note {braces}: {"name": "Lan", "age": 30}',
        '<think>{"name": "?"}</think>{"name": "Lan", "age": 30}',
    ],
)
def test_fences_and_prose_are_tolerated(
    gateway: Gateway, endpoint: Endpoint, way: Way, by_schema: bool, content: str
) -> None:
    """Nor does text instead of the tool call: the model may not be forced to call it."""
    gateway.misbehave(text_answer(content, way))

    assert way(llm(endpoint, should_use_structured_outputs=by_schema)) == LAN


@pytest.mark.parametrize("by_schema", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (answer(None, refusal="That is not allowed."), "refused to answer with Person: That is not allowed"),
        (answer('{"name": "La', "length"), "token limit"),
        (answer("I would rather not."), "I would rather not"),
        (answer('{"name": "Lan"}'), "age"),
    ],
)
def test_an_error_describes_the_answer(
    gateway: Gateway, endpoint: Endpoint, way: Way, by_schema: bool, fault: Fault, message: str
) -> None:
    gateway.misbehave(fault)

    with pytest.raises(ValueError, match=message):
        way(llm(endpoint, should_use_structured_outputs=by_schema))


class Invoice(BaseModel):
    """An invoice."""

    number: str
    items: list[str]


CUT = '{"number":"A1","items":["apple","pear","pl'


@pytest.mark.parametrize("by_schema", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_an_answer_cut_at_the_token_limit_is_an_error(
    gateway: Gateway, endpoint: Endpoint, way: Way, by_schema: bool
) -> None:
    """The truncated JSON could be repaired to an incomplete object, which must not be returned."""
    gateway.misbehave((text_answer if by_schema else tool_call_answer)(CUT, way, "length"))

    with pytest.raises(ValueError, match=r'"pear","pl.*token limit'):
        way(llm(endpoint, should_use_structured_outputs=by_schema), Invoice)


def test_a_truncated_stream_of_a_structured_llm_is_an_error(gateway: Gateway, endpoint: Endpoint) -> None:
    structured = llm(endpoint).as_structured_llm(Invoice)
    gateway.misbehave(tool_call_answer(CUT, stream, "length"))

    with pytest.raises(ValueError, match="token limit"):
        list(structured.stream_chat([ChatMessage("An invoice")]))


@pytest.mark.parametrize("way", ["stream_call", "astream_call"])
def test_a_truncated_stream_of_a_program_is_an_error(gateway: Gateway, endpoint: Endpoint, way: str) -> None:
    program = FunctionCallingProgram.from_defaults(output_cls=Person, llm=llm(endpoint), prompt=PROMPT)
    gateway.misbehave(tool_call_answer('{"name": "Lan", "age": 3', stream, "length"))

    with pytest.raises(ValueError, match="token limit"):
        PROGRAM_WAYS[way](program)


@pytest.mark.parametrize("way", WAYS)
def test_invalid_arguments_are_described_in_the_error(gateway: Gateway, endpoint: Endpoint, way: Way) -> None:
    gateway.misbehave(tool_call_answer('{"name": "Lan"}', way))

    with pytest.raises(ValueError, match=r"not of the form of Person\.[^.]*age"):
        way(llm(endpoint))


class Note(BaseModel):
    """A note."""

    title: str
    tags: list[str] = []
    body: str | None = None


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("by_schema", [False, True])
def test_a_partial_object_of_its_class_keeps_its_class(
    gateway: Gateway, endpoint: Endpoint, by_schema: bool, length: int
) -> None:
    text = '{"title": "T", "tags": ["one", "two"], "body": "Hello there"}'
    pieces: list[Any] = [text[at : at + length] for at in range(0, len(text), length)]
    call = {"index": 0, "id": "c1", "type": "function"}
    deltas = [
        {"content": piece}
        if by_schema
        else {"tool_calls": [{**call, "function": {"name": None if at else "Note", "arguments": piece}}]}
        for at, piece in enumerate(pieces)
    ]
    gateway.misbehave(answers.stream(*map(answers.chunk, deltas), answers.chunk({}, "stop")))

    model = llm(endpoint, should_use_structured_outputs=by_schema)
    partials = list(model.stream_structured_predict(Note, PROMPT, name="Lan"))

    are_notes = [isinstance(partial, Note) for partial in partials]
    assert are_notes == sorted(are_notes)
    assert partials[-1] == Note(title="T", tags=["one", "two"], body="Hello there")


class Sum(BaseModel):
    """A sum."""

    parts: list[int]
    total: int

    @model_validator(mode="before")
    @classmethod
    def _check(cls, values: Any) -> Any:
        assert sum(values["parts"]) == values["total"]
        return values


@pytest.mark.parametrize("by_schema", [False, True])
@pytest.mark.parametrize("way", [stream, astream])
def test_a_validator_may_expect_the_whole_object(
    gateway: Gateway, endpoint: Endpoint, way: Way, by_schema: bool
) -> None:
    text = '{"parts": [1, 2], "total": 3}'
    gateway.misbehave(text_answer(text, way) if by_schema else tool_call_answer(text, way, name="Sum"))

    assert way(llm(endpoint, should_use_structured_outputs=by_schema), Sum) == Sum(parts=[1, 2], total=3)


class Node(BaseModel):
    """A node of a tree."""

    value: int
    children: list[Node] = []


@pytest.mark.parametrize("by_schema", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_a_class_that_refers_to_itself(
    gateway: Gateway, endpoint: Endpoint, way: Way, by_schema: bool
) -> None:
    text = '{"value": 1, "children": [{"value": 2}]}'
    gateway.misbehave(text_answer(text, way) if by_schema else tool_call_answer(text, way, name="Node"))

    assert way(llm(endpoint, should_use_structured_outputs=by_schema), Node) == Node(
        value=1, children=[Node(value=2)]
    )

    body = gateway.requests[0].body
    sent = body["response_format"]["json_schema"] if by_schema else body["tools"][0]["function"]
    schema = sent["schema" if by_schema else "parameters"]
    assert (schema["type"], list(schema["properties"])) == ("object", ["value", "children"])
    assert list(schema["$defs"]) == ["Node"]


@pytest.mark.parametrize("program", [FunctionCallingProgram, LLMTextCompletionProgram])
def test_programs_of_the_framework(gateway: Gateway, endpoint: Endpoint, program: Any) -> None:
    gateway.answer({"name": "Lan", "age": 30}, to="name: Lan")
    made = program.from_defaults(output_cls=Person, llm=llm(endpoint), prompt=PROMPT)

    assert made(name="Lan") == LAN


def test_as_a_structured_llm(endpoint: Endpoint) -> None:
    structured = llm(endpoint).as_structured_llm(Person)
    message = ChatMessage(PROMPT.format(name="Lan"))

    assert structured.chat([message]).raw == LAN
    assert asyncio.run(structured.achat([message])).raw == LAN
    assert list(structured.stream_chat([message]))[-1].raw == LAN


@pytest.mark.parametrize("way", [stream, astream])
def test_a_stream_without_an_object_describes_the_answer(
    gateway: Gateway, endpoint: Endpoint, way: Way
) -> None:
    gateway.misbehave(answer("I would rather not."))

    with pytest.raises(ValueError, match="I would rather not"):
        way(llm(endpoint))


def test_code_in_an_answer_is_tolerated(gateway: Gateway, endpoint: Endpoint) -> None:
    gateway.misbehave(answer('{"name": "```\\nls\\n```", "age": 30}'))

    assert predict(llm(endpoint, should_use_structured_outputs=True)).name == "```\nls\n```"


def test_the_caller_s_arguments_are_not_changed(endpoint: Endpoint) -> None:
    arguments = {"tool_choice": "auto", "max_tokens": 50}

    llm(endpoint).structured_predict(Person, PROMPT, llm_kwargs=arguments, name="Lan")

    assert arguments == {"tool_choice": "auto", "max_tokens": 50}


PROGRAM_WAYS: dict[str, Callable[[FunctionCallingProgram[Person]], Any]] = {
    "call": lambda program: program(name="Lan"),
    "acall": lambda program: asyncio.run(program.acall(name="Lan")),
    "stream_call": lambda program: list(program.stream_call(name="Lan"))[-1],
    "astream_call": lambda program: asyncio.run(_last_of(program)),
}


async def _last_of(program: FunctionCallingProgram[Person]) -> Any:
    return [partial async for partial in await program.astream_call(name="Lan")][-1]


@pytest.mark.parametrize("way", PROGRAM_WAYS)
def test_a_program_used_directly_forces_its_tool_and_keeps_the_system_prompt(
    gateway: Gateway, endpoint: Endpoint, way: str
) -> None:
    model = llm(endpoint, system_prompt="Be exact.")
    program = FunctionCallingProgram.from_defaults(output_cls=Person, llm=model, prompt=PROMPT)

    assert PROGRAM_WAYS[way](program) == LAN

    (request,) = gateway.requests
    assert request.body["tool_choice"] == "required"
    assert [message["role"] for message in request.body["messages"]] == ["system", "user"]


def test_a_program_s_tool_choice_can_be_auto(gateway: Gateway, endpoint: Endpoint) -> None:
    program = FunctionCallingProgram.from_defaults(
        output_cls=Person, llm=llm(endpoint), prompt=PROMPT, tool_required=False
    )
    gateway.misbehave(CALLS_PERSON)

    assert program(name="Lan") == LAN

    assert "tool_choice" not in gateway.requests[0].body


def test_the_user_s_own_tools_are_not_forced(gateway: Gateway, endpoint: Endpoint) -> None:
    list(llm(endpoint).stream_chat_with_tools([FunctionTool.from_defaults(len)], "Hello"))

    assert "tool_choice" not in gateway.requests[0].body


CALLS_PERSON = answer(
    None,
    "tool_calls",
    tool_calls=[
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "Person", "arguments": '{"name": "Lan", "age": 30}'},
        }
    ],
)


@pytest.mark.parametrize("way", WAYS)
def test_a_refused_forced_tool_choice_falls_back_to_auto(
    gateway: Gateway, endpoint: Endpoint, way: Way
) -> None:
    gateway.misbehave(
        Fault(
            status=400,
            error_type="invalid_request_error",
            message="Thinking may not be enabled when tool_choice forces tool use.",
        )
    )
    gateway.misbehave(CALLS_PERSON)

    assert way(llm(endpoint)) == LAN
    assert [request.body["tool_choice"] for request in gateway.requests] == ["required", "auto"]
