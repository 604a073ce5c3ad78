"""What applications hold, as a table for any class: each row must be answered by the strict stand-in.

A class passes a row in one call style if it gets an answer. Whether everything of the user's is in the
request is not judged here: for this project's classes other tests do that.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import AudioBlock, DocumentBlock, ImageBlock, TextBlock
from llama_index.core.base.llms.types import ChatMessage as LlamaMessage

from tests.asking import WAYS
from tests.gateway import Gateway
from tests.test_outgoing import ASKED, HISTORIES, LI_Q, OWN_NAMES, Q, ask, called, li_called, li_result
from tests.test_outgoing_content import FILES, FORMS, IMAGES, OWN_TOOLS, RAW, SCHEMAS, SOUNDS
from tests.test_outgoing_forms import CALLS, PNG
from tests.test_outgoing_properties import TOOL

Asking = tuple[list[Any], dict[str, Any]]
"""Messages, and parameters of the call."""
Row = tuple[Asking | None, Asking | None]
"""For LangChain and for LlamaIndex; `None` where the framework cannot hold it."""


def _function(name: str, schema: Any = None) -> dict[str, Any]:
    parameters = {} if schema is None else {"parameters": schema}
    return {"type": "function", "function": {"name": name, "description": "A tool.", **parameters}}


def _with_tools(*tools: Any) -> Row:
    return ([Q], {"tools": list(tools)}), ([LI_Q], {"tools": list(tools)})


def _media(block: dict[str, Any], llama_block: Any) -> Row:
    return (
        ([HumanMessage([{"type": "text", "text": ASKED}, block])], {}),
        ([LlamaMessage(role="user", blocks=[TextBlock(text=ASKED), llama_block])], {}),
    )


def _encoded(kind: str, content: bytes, mime_type: str | None) -> dict[str, Any]:
    return {"type": kind, "base64": base64.b64encode(content).decode(), "mime_type": mime_type}


def _roles() -> Iterator[tuple[str, Row]]:
    image = {"type": "image", "base64": PNG, "mime_type": "image/png"}
    look: Any = [{"type": "text", "text": "Look."}, image]
    blocks = [TextBlock(text="Look."), ImageBlock(image=base64.b64decode(PNG))]
    for role in ("human", "ai", "critic"):
        yield f"a message of the role {role}", (([ChatMessage(content="Hi", role=role), Q], {}), None)
    llama = [LlamaMessage("Hi", role="model"), LI_Q]
    yield "a message of the role model", (([ChatMessage(content="Hi", role="model"), Q], {}), (llama, {}))
    system = [LlamaMessage(role="system", blocks=blocks), LI_Q]
    yield "an image in a system message", (([SystemMessage(look), Q], {}), (system, {}))
    result = LlamaMessage(role="tool", blocks=blocks, additional_kwargs={"tool_call_id": "a"})
    yield (
        "an image in a tool result",
        (
            ([Q, called("a"), ToolMessage(look, tool_call_id="a")], {}),
            ([LI_Q, li_called("a"), result], {}),
        ),
    )
    rows: Any = [{"id": 1, "name": "Ann"}]
    yield "rows as a tool result", (([Q, called("a"), ToolMessage(rows, tool_call_id="a")], {}), None)
    legacy = {"function_call": {"name": "f", "arguments": '{"x"'}}
    yield (
        "a legacy call with half its arguments",
        (
            ([Q, AIMessage("", additional_kwargs=legacy), Q], {}),
            ([LI_Q, LlamaMessage("", role="assistant", additional_kwargs=legacy), LI_Q], {}),
        ),
    )


def _calls() -> Iterator[tuple[str, Row]]:
    for provider, (history, _) in RAW.items():
        yield f"a raw history of {provider}", ((history, {}), None)
    for form, call in CALLS.items():
        said = LlamaMessage("", role="assistant", additional_kwargs={"tool_calls": [call]})
        yield f"a call in the form of {form}", (None, ([LI_Q, said, li_result("a")], {}))


GROUPS: dict[str, dict[str, Row]] = {
    "histories": {name: ((ours, {}), (theirs, {})) for name, (ours, theirs) in HISTORIES.items()},
    "roles": dict(_roles()),
    "calls of other classes": dict(_calls()),
    "names": {
        **{f"a tool named {name[:12]}": _with_tools(_function(name)) for name in OWN_NAMES},
        "properties with accents": _with_tools(TOOL),
    },
    "tools": {
        **{f"a function as {form} has it": (_with_tools(tool)[0], None) for form, tool in FORMS.items()},
        **{f"a provider's own tool ({at})": _with_tools(tool) for at, tool in enumerate(OWN_TOOLS, 1)},
        "the same tool twice": _with_tools(_function("f"), _function("f")),
    },
    "schemas": {name: _with_tools(_function("f", schema)) for name, (schema, _) in SCHEMAS.items()},
    "media": {
        **{
            f"{mime_type} called image/png": _media(
                _encoded("image", content, "image/png"), ImageBlock(image=content, image_mimetype="image/png")
            )
            for mime_type, content in IMAGES.items()
        },
        **{
            f"{name} called wav": _media(
                _encoded("audio", content, "audio/wav"), AudioBlock(audio=content, format="wav")
            )
            for name, content in SOUNDS.items()
        },
        **{
            f"{name}, without a name": _media(
                _encoded("file", content, declared), DocumentBlock(data=content, document_mimetype=declared)
            )
            for name, (content, declared, _, _) in FILES.items()
        },
    },
}
"""Group -> its rows."""


def asking_of(group: str, row: str, number: int) -> Asking | None:
    """What is asked in a row of a framework, by its number in a row; `None` where it cannot hold it."""
    return GROUPS[group][row][number]


def run(
    make: Callable[..., Any], gateway: Gateway, runner: asyncio.Runner, *, number: int, step: int = 1
) -> dict[tuple[str, str, str], str]:
    """(group, row, call style) -> what is wrong; `number` is the framework's in a row.

    Each row is asked in every `step`-th call style, the next row in other ones.
    """
    outcomes = {}
    for group, rows in GROUPS.items():
        for turn, name in enumerate(rows):
            if (asking := asking_of(group, name, number)) is None:
                continue
            for how in WAYS[turn % step :: step]:
                outcomes[group, name, how] = runner.run(judge(make, gateway, how, asking))
    return outcomes


async def judge(make: Callable[..., Any], gateway: Gateway, how: str, asking: Asking) -> str:
    """What is wrong with one row for one call style; `""` if nothing is."""
    messages, kwargs = asking
    gateway.reset()
    try:
        # No row is about time, and a busy machine takes some.
        model = make(base_url=gateway.base_url, api_key=gateway.key, max_retries=0, stream_idle_timeout=60)
        if kwargs and isinstance(model, BaseChatModel):
            model, kwargs = model.bind_tools(kwargs["tools"]), {}
        await ask(how, model, messages, **kwargs)
    except Exception as error:
        return type(error).__name__
    return "" if gateway.requests else "nothing was sent"
