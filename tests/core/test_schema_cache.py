"""A schema is cached as long as its source exists and is unchanged."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from enum import Enum
from typing import Any, TypedDict, cast

import pytest
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field

from texapi_core.adapter_base.schema_cache import SchemaCache


class Counting:
    """A cache of LangChain's tool definitions that counts how many were created."""

    def __init__(self) -> None:
        self.cache = SchemaCache()
        self.made = 0

    def __call__(self, source: Any, variant: str = "") -> dict[str, Any]:
        def make() -> dict[str, Any]:
            self.made += 1
            return convert_to_openai_tool(source)

        return self.cache.get(source, variant, make)


class Unit(Enum):
    """Of temperature."""

    CELSIUS = "celsius"


def pydantic_class() -> Any:
    class Place(BaseModel):
        """A place."""

        city: str = Field(description="Its city")

    class Weather(BaseModel):
        """The weather."""

        place: Place
        unit: Unit = Unit.CELSIUS

    return Weather


def typed_dict() -> Any:
    class Weather(TypedDict):
        """The weather."""

        city: str
        days: int

    return Weather


def function() -> Any:
    def weather(city: str, days: int = 3) -> str:
        """The weather.

        Args:
            city: Its city
            days: How many days
        """
        return f"{city} {days}"

    return weather


SOURCES = [pydantic_class, typed_dict, function]


@pytest.mark.parametrize("make_source", SOURCES)
def test_a_schema_is_created_once(make_source: Callable[[], Any]) -> None:
    define, source = Counting(), make_source()

    definitions = [define(source) for _ in range(5)]

    assert define.made == 1
    assert definitions == [convert_to_openai_tool(source)] * 5


def test_each_caller_gets_its_own_dict() -> None:
    define, source = Counting(), pydantic_class()
    first = define(source)

    first["function"]["parameters"]["properties"].clear()

    assert define(source) == convert_to_openai_tool(source)


@pytest.mark.parametrize("make_source", SOURCES)
def test_a_schema_is_released_with_its_source(make_source: Callable[[], Any]) -> None:
    define, source = Counting(), make_source()
    define(source)
    gone = weakref.ref(source)

    del source
    gc.collect()

    assert gone() is None
    assert len(define.cache) == 0


def test_the_schema_of_a_recursive_class_is_released_too() -> None:
    """Only where Pydantic itself releases it, which 2.11.5 does not."""

    def goes_after(use: Callable[[Any], Any]) -> bool:
        gone = weakref.ref(used := _recursive_class())
        use(used)
        del used
        gc.collect()
        return gone() is None

    assert goes_after(Counting()) == goes_after(convert_to_openai_tool)


def _recursive_class() -> Any:
    class Tree(BaseModel):
        """A tree."""

        children: list[Tree] = []

    Tree.model_rebuild()
    return Tree


def _rename(source: Any) -> None:
    source.__name__ = "forecast"


def _describe(source: Any) -> None:
    source.__doc__ = "The weather of tomorrow."


def _describe_nested(source: Any) -> None:
    source.model_fields["place"].annotation.__doc__ = "A place on earth."


def _describe_field(source: Any) -> None:
    source.model_fields["place"].description = "Where"
    source.model_rebuild(force=True)


def _retype_field(source: Any) -> None:
    source.model_fields["unit"].annotation = int
    source.model_rebuild(force=True)


def _entitle(source: Any) -> None:
    source.model_config["title"] = "Forecast"


def _redefault(source: Any) -> None:
    source.__defaults__ = (7,)


def _reannotate(source: Any) -> None:
    source.__annotations__["days"] = float


@pytest.mark.parametrize(
    ("make_source", "change"),
    [
        (pydantic_class, _describe),
        (pydantic_class, _describe_nested),
        (pydantic_class, _describe_field),
        (pydantic_class, _retype_field),
        (pydantic_class, _entitle),
        (typed_dict, _rename),
        (typed_dict, _describe),
        (typed_dict, _reannotate),
        (function, _rename),
        (function, _describe),
        (function, _redefault),
        (function, _reannotate),
    ],
)
def test_a_changed_source_is_read_again(
    make_source: Callable[[], Any], change: Callable[[Any], None]
) -> None:
    define, source = Counting(), make_source()
    before = define(source)

    change(source)

    assert define(source) == convert_to_openai_tool(source) != before


def test_variants_are_cached_separately_and_bounded() -> None:
    define, source = Counting(), pydantic_class()

    for number in range(100):
        define(source, str(number))
    define(source, "99")

    assert define.made == 100


def test_a_class_with_a_custom_schema_is_not_cached() -> None:
    class Own(BaseModel):
        """One."""

        @classmethod
        def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
            return {"title": f"own_{define.made}", "type": "object", "properties": {}}

    define = Counting()

    assert [define(Own)["function"]["name"] for _ in range(2)] == ["own_1", "own_2"]


def test_a_function_with_unresolvable_annotations_is_not_cached() -> None:
    def weather(city: str) -> None: ...

    weather.__annotations__["city"] = "Nowhere"
    cache = SchemaCache()

    made = [cache.get(weather, None, lambda: {"name": "weather"}) for _ in range(2)]

    assert made == [{"name": "weather"}] * 2
    assert len(cache) == 0


@pytest.mark.parametrize("source", [None, {"name": "a"}, print, cast("Any", list[int]), Unit])
def test_other_sources_are_not_cached(source: Any) -> None:
    cache = SchemaCache()

    assert cache.get(source, None, lambda: {"name": "made"}) == {"name": "made"}
    assert len(cache) == 0
