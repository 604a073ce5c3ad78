"""`Template` gives the same result as `model_copy`, for any class."""

from __future__ import annotations

import copy
import pickle
import sys
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from langchain_texapi._streaming import create_chunk
from langchain_texapi._templates import Template
from texapi_core.wire.values import ChatDelta


class Plain(BaseModel):
    text: str = ""
    parts: list[str] = Field(default_factory=list)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    text: str = ""


class Private(BaseModel):
    text: str = ""
    _seen: list[str] = PrivateAttr(default_factory=list)


class CopiesInItsOwnWay(BaseModel):
    text: str = ""

    def __copy__(self) -> CopiesInItsOwnWay:
        return CopiesInItsOwnWay(text="copied")


class CannotBeUnpickled(BaseModel):
    text: str = ""

    def __setstate__(self, state: dict[Any, Any]) -> None:
        raise TypeError


EXAMPLES = [
    Plain(text="a"),
    Plain(),
    Open(text="a"),
    Private(text="a"),
    CopiesInItsOwnWay(),
    CannotBeUnpickled(),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
@pytest.mark.parametrize("changes", [{}, {"text": "b"}])
def test_it_equals_model_copy(example: BaseModel, changes: dict[str, Any]) -> None:
    made = Template(example).make(dict(changes))
    copied = example.model_copy(update=changes)

    assert made == copied
    assert made.__getstate__() == copied.__getstate__()
    assert type(made) is type(copied)


def test_created_objects_can_be_copied_dumped_changed_and_validated() -> None:
    made = Template(Plain(text="a")).make({"text": "b", "parts": ["c"]})

    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == Plain(text="b", parts=["c"])
    assert made.model_dump() == {"text": "b", "parts": ["c"]}
    assert Plain.model_validate(made) is made
    made.text = "d"
    assert made.model_fields_set == {"text", "parts"}


def test_objects_share_no_mutable_state() -> None:
    template = Template(Open(text="a"))
    one, other = template.make({}), template.make({})

    one.text = "b"
    one.more = "c"  # type: ignore[attr-defined] # an extra

    assert (other.text, other.model_extra, other.model_fields_set) == ("a", {}, {"text"})


class PrivateParts(Plain):
    _seen: list[str] = PrivateAttr(default_factory=list)


@pytest.mark.parametrize("example", [Plain(parts=["a"]), PrivateParts(parts=["a"])])
def test_objects_share_no_default_list(example: Plain) -> None:
    """A future version of the framework may add a field that this package does not know."""
    template = Template(example)
    template.make({}).parts.append("b")

    assert (template.make({}).parts, template.make({"text": "c"}).parts, example.parts) == (
        ["a"],
        ["a"],
        ["a"],
    )


@pytest.mark.parametrize("example", [Private(), CopiesInItsOwnWay(), CannotBeUnpickled()])
def test_a_class_with_custom_copying_is_copied_by_pydantic(
    example: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = Template(example)
    updates: list[Any] = []

    def model_copy(self: BaseModel, *, update: Any) -> BaseModel:
        updates.append(update)
        return self

    monkeypatch.setattr(type(example), "model_copy", model_copy)
    template.make({"text": "b"})

    assert updates == [{"text": "b"}]


def test_the_names_of_a_chunks_fields_take_no_more_memory_than_they_need() -> None:
    """LangChain keeps every chunk of a stream; a set that grew item by item takes half as much again."""
    chunk = create_chunk(ChatDelta("Hi", raw={}), "m", with_headers=False)

    names = chunk.message.model_fields_set
    assert sys.getsizeof(names) == sys.getsizeof({*names})
