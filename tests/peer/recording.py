"""What the clients of the end-to-end tests have recorded: one file for each connection, one line for each frame."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

# JSON-RPC's codes for "I do not know this method" and "these parameters cannot be".
METHOD_NOT_FOUND, INVALID_PARAMS = -32601, -32602
# How a decoder says that parameters have the wrong shape. What it could read and still refuses is another matter.
UNREADABLE = re.compile("missing field|invalid type|invalid value|unknown variant|did not match|expected an object")


@dataclasses.dataclass
class Message:
    """One frame. `method` is its own, or that of the request that it answers; empty where there is none."""

    where: str
    kind: str
    method: str
    body: Any
    # For a request: `accepted`, `not understood` (the server does not know the method, or cannot read the parameters),
    # `refused` (anything else that is an error), `unanswered` (a connection that ended first).
    outcome: str = ""


def read(folder: pathlib.Path) -> Iterator[Message]:
    """Every message of every connection."""
    for file in sorted(folder.glob("*.jsonl")):
        yield from _connection(file)


def _connection(file: pathlib.Path) -> Iterator[Message]:
    asked: dict[str, Message] = {}
    asked_by_server: dict[str, str] = {}
    messages = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        ((direction, body),) = json.loads(line).items()
        message = Message(f"{file.name}:{number}", "", "", body)
        messages.append(message)
        if direction == "sentText" or not isinstance(body, dict) or not _is_message(body):
            message.kind = "no message"
            continue
        id_ = json.dumps(body.get("id"))
        ours = direction == "sent"
        if "method" in body:
            message.method = body["method"]
            if "id" not in body:
                message.kind = "client notification" if ours else "notification"
            elif ours:
                message.kind, message.outcome = "request", "unanswered"
                asked[id_] = message
            else:
                message.kind = "server request"
                asked_by_server[id_] = message.method
        elif ours:
            message.kind = "error" if "error" in body else "answer"
            message.method = asked_by_server.get(id_, "")
        else:
            message.kind = "error" if "error" in body else "reply"
            if request := asked.get(id_):
                message.method, request.outcome = request.method, _outcome(body)
    return iter(messages)


def _is_message(body: dict[str, Any]) -> bool:
    return isinstance(body.get("method"), str) or "result" in body or "error" in body


def _outcome(body: dict[str, Any]) -> str:
    if "error" not in body:
        return "accepted"
    code, message = body["error"].get("code"), body["error"].get("message", "")
    unread = code == METHOD_NOT_FOUND or (code == INVALID_PARAMS and UNREADABLE.search(message))
    return "not understood" if unread else "refused"
