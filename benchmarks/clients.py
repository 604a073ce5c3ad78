"""The clients that are measured: the openai SDK as its users call it, ours, and the usual classes.

A peer is included where its package is installed.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field, SecretStr

KEY = "sk-tex-4f1c9ae07b52d836"
TOOLS = ("get_weather", "get_forecast", "get_alerts")


class Answer(BaseModel):
    """Weather in a city."""

    city: str = Field(description="City name")
    temperature: int = Field(description="Degrees")
    unit: str = Field(description="celsius or fahrenheit")
    tags: list[str] = Field(description="Free tags")


class _ToolArguments(BaseModel):
    """Look something up for a city."""

    city: str = Field(description="City name")
    unit: str = Field(default="celsius", description="celsius or fahrenheit")
    days: int | None = Field(default=None, description="How many days")


TOOL_CLASSES = [type(name, (_ToolArguments,), {"__doc__": _ToolArguments.__doc__}) for name in TOOLS]


def history(count: int) -> list[dict[str, Any]]:
    """Messages of a typical agent history: text, tool calls and tool results."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "You are a patient assistant. " * 8}]
    while len(messages) < count:
        turn = len(messages)
        function = {"name": "get_weather", "arguments": '{"city": "Paris", "days": 3}'}
        messages += [
            {"role": "user", "content": f"Question {turn}: " + "please look into this. " * 6},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": f"call_{turn}", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": f"call_{turn}", "content": '{"sky": "' + "clear " * 12 + '"}'},
            {"role": "assistant", "content": "It is mild and clear. " * 8},
        ]
    kept = messages[: count - 1]
    if "tool_calls" in kept[-1]:
        kept[-1] = {"role": "assistant", "content": "It is mild and clear. " * 8}
    return [*kept, {"role": "user", "content": "And now?"}]


class Client(ABC):
    """One way to call a model, with the client's own types for models and messages."""

    name: ClassVar[str]
    family: ClassVar[str]
    """The group it is compared within: `sdk`, `langchain` or `llama_index`."""
    package: ClassVar[str]
    framework_import: ClassVar[str]
    """The import every class of this kind needs: its base class."""
    import_statement: ClassVar[str]
    construction: ClassVar[str]
    first_call: ClassVar[str]

    def __init__(self, base_url: str, async_transport: Literal["httpx", "aiohttp"] = "httpx") -> None:
        self.base_url = base_url
        self.async_transport = async_transport

    @abstractmethod
    def model(self, name: str) -> Any:
        """A new model object for that model name."""

    @abstractmethod
    def messages(self, count: int = 2) -> Any:
        """A history of that many messages."""

    @abstractmethod
    def call(self, model: Any, messages: Any) -> Any:
        """A complete answer."""

    @abstractmethod
    async def acall(self, model: Any, messages: Any) -> Any:
        """A complete answer."""

    @abstractmethod
    def stream(self, model: Any, messages: Any) -> Iterator[Any]:
        """A streamed answer."""

    @abstractmethod
    def astream(self, model: Any, messages: Any) -> AsyncIterator[Any]:
        """A streamed answer."""

    @abstractmethod
    def tools(self) -> Any:
        """Three tools of the client's own type."""

    def bind(self, model: Any, tools: Any) -> Any:
        """The model with the tools bound; a no-op where the framework does not bind tools."""
        return model, tools

    @abstractmethod
    def call_with_tools(self, bound: Any, messages: Any) -> Any:
        """A complete answer from a model with tools."""

    def structured(self, model: Any) -> Any:
        """The model with `Answer` as its structured output."""
        return model

    @abstractmethod
    def call_structured(self, structured: Any, messages: Any) -> Answer:
        """A complete answer parsed as `Answer`."""


class Sdk(Client):
    """The openai SDK's typed calls: the baseline for the others."""

    name = family = "sdk"
    package = "openai"
    framework_import = import_statement = "import openai"
    construction = "model = openai.OpenAI(base_url={base_url!r}, api_key={key!r})"
    first_call = (
        "model.chat.completions.create(model='whole', messages=[{{'role': 'user', 'content': 'Hi'}}])"
    )

    def model(self, name: str) -> Any:
        import openai

        settings: dict[str, Any] = {"base_url": self.base_url, "api_key": KEY}
        return name, openai.OpenAI(**settings), openai.AsyncOpenAI(**settings)

    def messages(self, count: int = 2) -> Any:
        return history(count)

    def call(self, model: Any, messages: Any) -> Any:
        return model[1].chat.completions.create(model=model[0], messages=messages)

    async def acall(self, model: Any, messages: Any) -> Any:
        return await model[2].chat.completions.create(model=model[0], messages=messages)

    def stream(self, model: Any, messages: Any) -> Iterator[Any]:
        yield from model[1].chat.completions.create(
            model=model[0], messages=messages, stream=True, stream_options={"include_usage": True}
        )

    async def astream(self, model: Any, messages: Any) -> AsyncIterator[Any]:
        async for chunk in await model[2].chat.completions.create(
            model=model[0], messages=messages, stream=True, stream_options={"include_usage": True}
        ):
            yield chunk

    def tools(self) -> Any:
        import openai

        return [openai.pydantic_function_tool(tool) for tool in TOOL_CLASSES]

    def call_with_tools(self, bound: Any, messages: Any) -> Any:
        model, tools = bound
        return model[1].chat.completions.create(model=model[0], messages=messages, tools=tools)

    def call_structured(self, structured: Any, messages: Any) -> Answer:
        name, client, _ = structured
        completion = client.chat.completions.parse(model=name, messages=messages, response_format=Answer)
        answer: Answer = completion.choices[0].message.parsed
        return answer


class _LangChain(Client):
    family = "langchain"
    framework_import = "from langchain_core.language_models.chat_models import BaseChatModel"
    first_call = "model.invoke('Hi')"

    def messages(self, count: int = 2) -> Any:
        from langchain_core.messages import convert_to_messages

        return convert_to_messages(history(count))

    def call(self, model: Any, messages: Any) -> Any:
        return model.invoke(messages)

    async def acall(self, model: Any, messages: Any) -> Any:
        return await model.ainvoke(messages)

    def stream(self, model: Any, messages: Any) -> Iterator[Any]:
        yield from model.stream(messages)

    async def astream(self, model: Any, messages: Any) -> AsyncIterator[Any]:
        async for chunk in model.astream(messages):
            yield chunk

    def tools(self) -> Any:
        return TOOL_CLASSES

    def bind(self, model: Any, tools: Any) -> Any:
        return model.bind_tools(tools)

    def call_with_tools(self, bound: Any, messages: Any) -> Any:
        return bound.invoke(messages)

    def structured(self, model: Any) -> Any:
        return model.with_structured_output(Answer, method="function_calling")

    def call_structured(self, structured: Any, messages: Any) -> Answer:
        answer: Answer = structured.invoke(messages)
        return answer


class ChatTexAPIClient(_LangChain):
    """Ours for LangChain."""

    name = "ChatTexAPI"
    package = "langchain_texapi"
    import_statement = "from langchain_texapi import ChatTexAPI"
    construction = "model = ChatTexAPI(model='whole', base_url={base_url!r}, api_key={key!r})"

    def model(self, name: str) -> Any:
        from langchain_texapi import ChatTexAPI

        return ChatTexAPI(
            model=name,
            base_url=self.base_url,
            api_key=SecretStr(KEY),
            async_transport=self.async_transport,
        )


class ChatOpenAIClient(_LangChain):
    """The usual class for an OpenAI-compatible address in LangChain."""

    name = "ChatOpenAI"
    package = "langchain_openai"
    import_statement = "from langchain_openai import ChatOpenAI"
    construction = "model = ChatOpenAI(model='whole', base_url={base_url!r}, api_key={key!r})"

    def model(self, name: str) -> Any:
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(model=name, base_url=self.base_url, api_key=SecretStr(KEY), stream_usage=True)


class _LlamaIndex(Client):
    family = "llama_index"
    framework_import = "from llama_index.core.llms.function_calling import FunctionCallingLLM"
    first_call = "model.complete('Hi')"

    def messages(self, count: int = 2) -> Any:
        from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock

        messages = []
        for message in history(count):
            blocks: list[Any] = [TextBlock(text=message["content"])] if message["content"] else []
            kwargs = {name: message[name] for name in ("tool_calls", "tool_call_id") if name in message}
            for call in message.get("tool_calls", []):
                function = call["function"]
                blocks.append(
                    ToolCallBlock(
                        tool_call_id=call["id"], tool_name=function["name"], tool_kwargs=function["arguments"]
                    )
                )
            messages.append(ChatMessage(role=message["role"], blocks=blocks, additional_kwargs=kwargs))
        return messages

    def call(self, model: Any, messages: Any) -> Any:
        return model.chat(messages)

    async def acall(self, model: Any, messages: Any) -> Any:
        return await model.achat(messages)

    def stream(self, model: Any, messages: Any) -> Iterator[Any]:
        yield from model.stream_chat(messages)

    async def astream(self, model: Any, messages: Any) -> AsyncIterator[Any]:
        async for response in await model.astream_chat(messages):
            yield response

    def tools(self) -> Any:
        from llama_index.core.tools import FunctionTool

        return [
            FunctionTool.from_defaults(lambda **_: "", name=name, fn_schema=schema)
            for name, schema in zip(TOOLS, TOOL_CLASSES, strict=True)
        ]

    def call_with_tools(self, bound: Any, messages: Any) -> Any:
        model, tools = bound
        return model.chat_with_tools(tools, chat_history=messages)

    def structured(self, model: Any) -> Any:
        return model.as_structured_llm(Answer)

    def call_structured(self, structured: Any, messages: Any) -> Answer:
        answer: Answer = structured.chat(messages).raw
        return answer


class TexAPIClient(_LlamaIndex):
    """Ours for LlamaIndex."""

    name = "TexAPI"
    package = "llama_index_texapi"
    import_statement = "from llama_index_texapi import TexAPI"
    construction = "model = TexAPI(model='whole', api_base={base_url!r}, api_key={key!r})"

    def model(self, name: str) -> Any:
        from llama_index_texapi import TexAPI

        return TexAPI(model=name, api_base=self.base_url, api_key=KEY, async_transport=self.async_transport)


class OpenAILikeClient(_LlamaIndex):
    """The usual class for an OpenAI-compatible address in LlamaIndex."""

    name = "OpenAILike"
    package = "llama_index.llms.openai_like"
    import_statement = "from llama_index.llms.openai_like import OpenAILike"
    construction = (
        "model = OpenAILike(model='whole', api_base={base_url!r}, api_key={key!r}, is_chat_model=True, "
        "is_function_calling_model=True)"
    )

    def model(self, name: str) -> Any:
        from llama_index.llms.openai_like import OpenAILike

        return OpenAILike(
            model=name,
            api_base=self.base_url,
            api_key=KEY,
            is_chat_model=True,
            is_function_calling_model=True,
        )


CLIENTS: tuple[type[Client], ...] = (Sdk, ChatTexAPIClient, ChatOpenAIClient, TexAPIClient, OpenAILikeClient)
PEERS = {"ChatTexAPI": "ChatOpenAI", "TexAPI": "OpenAILike"}


def installed() -> list[type[Client]]:
    """The clients installed in this environment."""
    found = []
    for client in CLIENTS:
        try:
            if importlib.util.find_spec(client.package):
                found.append(client)
        except ModuleNotFoundError:
            continue
    return found
