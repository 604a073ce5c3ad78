"""Tools of an MCP server are called by agents of both frameworks.

The server is a process of its own. The packages that connect the frameworks to MCP need different versions of
`mcp`, so a client of a few lines makes the tools as they do: with the server's schema as it is.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.core.tools.types import ToolMetadata

from tests.conftest import Endpoint
from tests.gateway import Gateway
from tests.gateway.request import Call
from tests.mcp_server import TOOLS
from tests.test_outgoing import langchain, llama_index


class McpClient:
    """A connection to the server over its stdin and stdout."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.mcp_server"]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._requests = 0
        self._lock = threading.Lock()  # agents call tools at once
        capabilities = {"capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        self._request("initialize", {"protocolVersion": "2025-06-18", **capabilities})

    def list_tools(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self._request("tools/list", {})["tools"]
        return listed

    def call(self, tool: str, arguments: dict[str, Any]) -> str:
        result = self._request("tools/call", {"name": tool, "arguments": arguments})
        return "".join(part["text"] for part in result["content"])

    def close(self) -> None:
        self._server.kill()
        self._server.communicate()

    def _request(self, method: str, params: dict[str, Any]) -> Any:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with self._lock:
            self._requests += 1
            message = {"jsonrpc": "2.0", "id": self._requests, "method": method, "params": params}
            self._server.stdin.write(json.dumps(message) + "\n")
            self._server.stdin.flush()
            reply = json.loads(self._server.stdout.readline())
        assert reply["id"] == message["id"]
        return reply["result"]


@pytest.fixture
def client() -> Iterator[McpClient]:
    opened = McpClient()
    yield opened
    opened.close()


class McpMetadata(ToolMetadata):
    """A tool with the schema of its server."""

    def __init__(self, tool: dict[str, Any]) -> None:
        super().__init__(tool["description"], tool["name"])
        self.schema = tool["inputSchema"]

    def get_parameters_dict(self) -> dict[str, Any]:
        return dict(self.schema)


CALLS = [Call("ping", {}), Call("files_read", {"paths": ["a"]}), Call("find", {"id": 1})]
RESULTS = [
    "ping was called with {}",
    'files.read was called with {"paths": ["a"]}',
    'find was called with {"id": 1}',
]


def check(gateway: Gateway) -> None:
    first, second = (request.body for request in gateway.requests)
    names = [tool["function"]["name"] for tool in first["tools"]]
    assert names == ["ping", "files_read", "find"]
    schemas = [tool["function"]["parameters"] for tool in first["tools"]]
    assert schemas[0] == {"type": "object", "properties": {}}
    assert schemas[1]["properties"]["lines"] == {"type": "array", "items": {"type": "integer"}}
    assert schemas[2]["properties"] == {"id": {"type": "integer"}, "name": {"type": "string"}}
    results = [message["content"] for message in second["messages"] if message["role"] == "tool"]
    assert results == RESULTS


async def test_langchain(gateway: Gateway, endpoint: Endpoint, client: McpClient) -> None:
    def make(tool: dict[str, Any]) -> StructuredTool:
        return StructuredTool(
            name=tool["name"],
            description=tool["description"],
            args_schema=tool["inputSchema"],
            func=lambda **arguments: client.call(tool["name"], arguments),
        )

    tools = list(map(make, client.list_tools()))
    gateway.answer(CALLS, "Done.")

    answer = await create_agent(langchain(endpoint), tools).ainvoke({"messages": [HumanMessage("Go")]})

    assert answer["messages"][-1].text == "Done."
    assert [each.content for each in answer["messages"] if isinstance(each, ToolMessage)] == RESULTS
    check(gateway)


async def test_llama_index(gateway: Gateway, endpoint: Endpoint, client: McpClient) -> None:
    def make(tool: dict[str, Any]) -> Any:
        return FunctionTool(lambda **arguments: client.call(tool["name"], arguments), McpMetadata(tool))

    tools = list(map(make, client.list_tools()))
    gateway.answer(CALLS, "Done.")

    response = await FunctionAgent(tools=tools, llm=llama_index(endpoint)).run("Go")

    assert str(response) == "Done."
    check(gateway)


def test_tools_as_the_server_lists_them(gateway: Gateway, endpoint: Endpoint, client: McpClient) -> None:
    listed = client.list_tools()
    assert listed == TOOLS

    langchain(endpoint).bind_tools(listed).invoke([HumanMessage("Go")])
    llama_index(endpoint).chat_with_tools(listed, "Go")  # type: ignore[arg-type]

    first, second = (request.body["tools"] for request in gateway.requests)
    assert first == second
