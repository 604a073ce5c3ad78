"""Ask one question in either framework: whole or streamed, sync or async."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage

from langchain_texapi import ChatTexAPI
from llama_index_texapi import TexAPI
from tests.conftest import Endpoint

MODEL = "deepseek-r1"
QUESTION = "What is the capital of Vietnam?"
WAYS = ["whole", "awhole", "stream", "astream"]


async def ask_langchain(how: str, endpoint: Endpoint, text: str = QUESTION, **kwargs: Any) -> None:
    model = ChatTexAPI(**{"model": MODEL, **endpoint.for_langchain(**kwargs)})
    messages = [HumanMessage(text)]
    if how == "whole":
        model.invoke(messages)
    elif how == "awhole":
        await model.ainvoke(messages)
    elif how == "stream":
        list(model.stream(messages))
    else:
        [chunk async for chunk in model.astream(messages)]


async def ask_llama_index(how: str, endpoint: Endpoint, text: str = QUESTION, **kwargs: Any) -> None:
    llm = TexAPI(**{"model": MODEL, **endpoint.for_llama_index(**kwargs)})
    messages = [ChatMessage(text)]
    if how == "whole":
        llm.chat(messages)
    elif how == "awhole":
        await llm.achat(messages)
    elif how == "stream":
        list(llm.stream_chat(messages))
    else:
        [response async for response in await llm.astream_chat(messages)]


CALLERS = [ask_langchain, ask_llama_index]
both = pytest.mark.parametrize("call", CALLERS)
every_way = pytest.mark.parametrize("how", WAYS)
