"""Any Pydantic class is sent as a tool and as the form of an answer that every provider takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.tools import StructuredTool
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, Field, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from tests.gateway.check_request import check_request
from tests.properties.line import Line
from tests.properties.strategies import examples


class Color(Enum):
    RED = "red"
    NUMBER = 1
    NOTHING = None


class Node(BaseModel):
    value: int
    next: Node | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog", "wolf"]
    tên: str = "x"


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


class House(BaseModel):
    owner: Owner | None = None


class Owner(BaseModel):
    houses: list[House] = []
    pet: Pet | None = None


House.model_rebuild()

_LEAVES: list[Any] = [
    *(int, str, float, bool, bytes, dict, list, tuple, None, Any),
    *(Node, Cat, Pet, House, Owner, Color),
    Literal["a", 1, None],
    Annotated[int, Field(ge=1, le=2**70)],
    Annotated[str, Field(pattern="^a", description="A text.")],
]


_UNION: Any = Union
_LIST: Any = list
_SET: Any = set
_TUPLE: Any = tuple
_DICT: Any = dict


def _around(inner: Any) -> Any:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        inner.map(lambda each: _UNION[each, None]),
        inner.map(lambda each: _LIST[each]),
        inner.map(lambda each: _SET[each]),
        inner.map(lambda each: _TUPLE[each, ...]),
        inner.map(lambda each: _DICT[str, each]),
        inner.map(lambda each: _DICT[int, each]),
        pairs.map(lambda pair: _TUPLE[pair]),
        pairs.map(lambda pair: _UNION[pair]),
    )


hints: Any = st.recursive(st.sampled_from(_LEAVES), _around, max_leaves=5)
_OPEN: set[Any] = {dict, list, tuple, Any}
"""Types whose values may have members or items of any kind, which `strict` refuses."""
fields: Any = st.dictionaries(
    st.sampled_from(["a", "b", "tên", "from_", "x" * 70, "schema_"]), hints, min_size=1, max_size=3
)
Send = Callable[[Callable[[], Any]], None]


@pytest.fixture(scope="module")
def send(line: Line) -> Send:
    """Asks, and checks the request."""
    requests: list[Any] = []

    def answer(body: Any) -> Sequence[bytes]:
        requests.append(body)
        return [b'{"choices": [{"message": {"content": "ok"}}]}']

    def send(ask: Callable[[], Any]) -> None:
        line.answer = answer
        try:
            ask()
        except ValueError as error:
            if "`strict` cannot hold" not in str(error):
                raise
        else:
            check_request(requests.pop(), ("m",))

    return send


def model_of(given_fields: dict[str, Any]) -> Any:
    """The class, `None` if Pydantic has no schema for it."""
    try:
        definitions: Any = {name: (hint, ...) for name, hint in given_fields.items()}
        model = create_model("Answer", **definitions)
        model.model_json_schema()
    except (PydanticUserError, PydanticSchemaGenerationError, TypeError):
        return None
    return model


def f(**arguments: Any) -> None:
    """Do it."""


@examples
@given(fields=fields, strict=st.sampled_from([None, True]))
def test_any_class_is_legal(send: Send, line: Line, fields: dict[str, Any], strict: bool | None) -> None:
    model, chat, llm = model_of(fields), line.chat_texapi, line.texapi
    if model is None:
        return
    schema = model.model_json_schema()
    wire = {"type": "function", "function": {"name": "f", "parameters": schema, "strict": bool(strict)}}
    tool = StructuredTool.from_function(f, name="f", args_schema=model)
    function = FunctionTool.from_defaults(f, name="f", description="Do it.", fn_schema=model)

    send(lambda: chat.bind_tools([model], strict=strict).invoke("Hi"))
    send(lambda: chat.bind_tools([tool], strict=strict).invoke("Hi"))
    send(lambda: chat.bind_tools([], response_format=model, strict=strict).invoke("Hi"))
    send(lambda: chat.invoke("Hi", tools=[wire]))
    send(lambda: llm.chat_with_tools([function], "Hi"))


def is_open(hint: Any) -> bool:
    """Whether `strict` cannot hold for a type."""
    return hint in _OPEN or get_origin(hint) is dict or any(map(is_open, get_args(hint)))


@examples
@given(fields=fields)
def test_strict_is_refused_for_open_types_alone(line: Line, fields: dict[str, Any]) -> None:
    model, chat = model_of(fields), line.chat_texapi
    if model is None:
        return
    line.send(b'{"choices": [{"message": {"content": "ok"}}]}')
    wire: Any = {"name": "f", "parameters": model.model_json_schema(), "strict": True}
    refused = False

    try:
        chat.invoke("Hi", tools=[{"type": "function", "function": wire}])
    except ValueError as error:
        refused = "`strict` cannot hold at `properties." in str(error)

    assert refused == any(map(is_open, fields.values()))
