"""A well-behaved MCP server on stdio, of the standard library alone: `mcp_helper.py TAG`, until its input ends.

TAG changes nothing: it is there to be found in the command line of every live helper of one test.
"""

import json
import sys
from typing import Any

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}}


def tool(name: str, description: str, read_only: bool = True) -> dict[str, Any]:
    """One entry of `tools/list`."""
    annotations = {"readOnlyHint": read_only}
    return {"name": name, "description": description, "inputSchema": TEXT, "annotations": annotations}


TOOLS = [
    tool("echo", "Answers with the text it was given."),
    tool("write", "As echo, and says that it changes something.", read_only=False),
    tool("fail", "Says of itself that it failed."),
    tool("refuse", "Answers with an error of the protocol."),
    tool("sleep", "Answers nothing at all."),
]
FILE = {"uri": "test://hello", "name": "hello", "mimeType": "text/plain"}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    """The members beside `id` of the answer; None where there is to be none."""
    match method:
        case "initialize":
            version = params.get("protocolVersion", "2025-06-18")
            info = {"name": "helper", "version": "1"}
            capabilities = {"tools": {}, "resources": {}}
            return result(protocolVersion=version, capabilities=capabilities, serverInfo=info)
        case "tools/list":
            return result(tools=TOOLS)
        case "resources/list":
            return result(resources=[FILE])
        case "resources/templates/list":
            return result(resourceTemplates=[])
        case "resources/read" if params.get("uri") == FILE["uri"]:
            return result(contents=[{"uri": FILE["uri"], "mimeType": "text/plain", "text": "hello"}])
        case "tools/call":
            return call(params.get("name"), (params.get("arguments") or {}).get("text", ""))
        case "ping":
            return result()
        case _:
            return {"error": {"code": -32601, "message": f"no {method} here"}}


def call(name: str | None, text: str) -> dict[str, Any] | None:
    """What a tool comes to."""
    content = [{"type": "text", "text": text}]
    match name:
        case "echo" | "write":
            return result(content=content)
        case "fail":
            return result(content=content, isError=True)
        case "refuse":
            return {"error": {"code": -32050, "message": text, "data": {"why": "asked to"}}}
        case "sleep":
            return None
        case _:
            return {"error": {"code": -32602, "message": f"no tool {name}"}}


def result(**members: Any) -> dict[str, Any]:
    return {"result": members}


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message and "method" in message:
        if reply := answer(message["method"], message.get("params") or {}):
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **reply}), flush=True)
