"""A server of the Model Context Protocol over stdin and stdout, with the schemas that real servers send.

`python -m tests.mcp_server`. The protocol is one JSON-RPC message a line:
https://modelcontextprotocol.io/specification/2025-06-18/basic/transports#stdio
"""

from __future__ import annotations

import json
import sys
from typing import Any

TOOLS: list[dict[str, Any]] = [
    {"name": "ping", "description": "Ping.", "inputSchema": {"type": "object"}},
    {
        "name": "files.read",
        "description": "Read files.",
        "inputSchema": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {
                "paths": {"type": "array"},
                "lines": {"type": "array", "items": [{"type": "integer"}]},
            },
            "required": ["paths"],
        },
    },
    {
        "name": "find",
        "description": "Find by id or by name.",
        "inputSchema": {
            "type": "object",
            "oneOf": [
                {"properties": {"id": {"type": "integer"}}, "required": ["id"]},
                {"properties": {"name": {"type": "string"}}, "required": ["name"]},
            ],
        },
    },
]


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The result of a request."""
    params = request.get("params") or {}
    if request["method"] == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "test", "version": "1"},
        }
    if request["method"] == "tools/list":
        return {"tools": TOOLS}
    text = f"{params['name']} was called with {json.dumps(params.get('arguments') or {}, sort_keys=True)}"
    return {"content": [{"type": "text", "text": text}], "isError": False}


if __name__ == "__main__":
    for line in sys.stdin:
        received = json.loads(line)
        if "id" in received:
            reply = {"jsonrpc": "2.0", "id": received["id"], "result": answer(received)}
            sys.stdout.write(json.dumps(reply) + "\n")
            sys.stdout.flush()
