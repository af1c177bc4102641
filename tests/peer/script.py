"""The script: what the clients say, one step after another. Each step waits for the last that it must hear."""

from collections.abc import Awaitable, Callable
from typing import Any

from conversation import Client, Message

UNKNOWN = "0199a213-81a0-7800-8aa0-bbab2a035a53"


class Cast:
    """Who plays. A starts threads, B resumes them, C never follows one; D is the one who makes mistakes."""

    def __init__(self, a: Client, b: Client, c: Client, d: Client, work: str) -> None:
        self.a, self.b, self.c, self.d, self.work = a, b, c, d, work
        self.thread = self.turn = self.fork = ""

    @property
    def clients(self) -> list[Client]:
        return [self.a, self.b, self.c, self.d]


Step = Callable[[Cast], Awaitable[Any]]
STEPS: list[tuple[str, Step]] = []


def step(name: str) -> Callable[[Step], Step]:
    """Adds a step to the script."""

    def add(play: Step) -> Step:
        STEPS.append((name, play))
        return play

    return add


def questions(name: str, *requests: tuple[str, Any]) -> None:
    """Adds a step in which A asks one thing after another: each is refused, or changes nothing."""

    async def play(cast: Cast) -> None:
        for method, params in requests:
            ids = {"THREAD": cast.thread, "TURN": cast.turn, "FORK": cast.fork}
            filled = params and {key: ids.get(str(value), value) for key, value in params.items()}
            await cast.a.ask(method, filled)

    STEPS.append((name, play))


def text(words: str) -> list[Message]:
    """Input of a turn."""
    return [{"type": "text", "text": words, "text_elements": []}]


async def turn(client: Client, thread: str, words: str) -> None:
    """A turn from its start to its end."""
    await client.ask("turn/start", {"threadId": thread, "input": text(words)})
    await client.note("turn/completed", lambda p: p["threadId"] == thread)


async def quiet(client: Client, thread: str, status: str = "idle") -> None:
    """Waits until the client has heard that the thread is idle, or whatever else it has become."""
    await client.note(
        "thread/status/changed", lambda p: p["threadId"] == thread and p["status"]["type"] == status
    )


@step("handshake")
async def _(cast: Cast) -> None:
    await cast.d.ask("thread/loaded/list", {})
    for client in cast.clients:
        await client.hello()
    await cast.d.ask("initialize", {"clientInfo": {"name": "d", "version": "0"}})


@step("thread/start")
async def _(cast: Cast) -> None:
    answer = await cast.a.ask("thread/start", {"cwd": cast.work})
    cast.thread = answer["result"]["thread"]["id"]
    for client in (cast.a, cast.b, cast.c):
        await client.note("thread/started")
    await cast.a.note("mcpServer/startupStatus/updated", lambda p: p["status"] == "ready")


questions(
    "before the first turn",
    ("thread/read", {"threadId": "THREAD"}),
    ("thread/read", {"threadId": "THREAD", "includeTurns": True}),
    ("thread/turns/list", {"threadId": "THREAD"}),
    ("thread/list", {}),
    ("thread/loaded/list", {}),
    ("turn/interrupt", {"threadId": "THREAD", "turnId": UNKNOWN}),
    ("turn/steer", {"threadId": "THREAD", "expectedTurnId": UNKNOWN, "input": text("x")}),
)


@step("a turn of text")
async def _(cast: Cast) -> None:
    await turn(cast.a, cast.thread, "STREAM n=3 size=8")
    for client in (cast.b, cast.c):
        await quiet(client, cast.thread)


questions(
    "reading",
    ("thread/read", {"threadId": "THREAD"}),
    ("thread/read", {"threadId": "THREAD", "includeTurns": True}),
    ("thread/list", {}),
    ("thread/list", {"limit": 1, "sortKey": "updated_at"}),
    ("thread/list", {"archived": True}),
    ("thread/list", {"cursor": "no-cursor"}),
    ("thread/loaded/list", {}),
    ("thread/turns/list", {"threadId": "THREAD"}),
    ("thread/turns/list", {"threadId": "THREAD", "itemsView": "full", "sortDirection": "asc"}),
    ("thread/items/list", {"threadId": "THREAD"}),
    ("thread/items/list", {"threadId": "THREAD", "limit": 1}),
)


@step("resume by a second connection")
async def _(cast: Cast) -> None:
    await cast.b.ask("thread/resume", {"threadId": cast.thread})


@step("resume without turns")
async def _(cast: Cast) -> None:
    await cast.b.ask("thread/resume", {"threadId": cast.thread, "excludeTurns": True})


@step("a turn that two follow")
async def _(cast: Cast) -> None:
    await turn(cast.b, cast.thread, "hi")
    await cast.a.note("turn/completed")
    await quiet(cast.c, cast.thread)


@step("a turn with a tool")
async def _(cast: Cast) -> None:
    await turn(cast.a, cast.thread, 'CALL mcp__helper echo {"text": "ding"}')
    await cast.b.note("turn/completed")


@step("a turn with a tool that says it failed")
async def _(cast: Cast) -> None:
    await turn(cast.a, cast.thread, 'CALL mcp__helper fail {"text": "dong"}')
    await cast.b.note("turn/completed")


@step("a turn with a tool that answers with an error")
async def _(cast: Cast) -> None:
    await turn(cast.a, cast.thread, 'CALL mcp__helper refuse {"text": "no"}')
    await cast.b.note("turn/completed")


@step("a turn with a tool that there is not")
async def _(cast: Cast) -> None:
    await turn(cast.a, cast.thread, "CALL mcp__helper nothing {}")
    await cast.b.note("turn/completed")


def call(name: str, server: str = "helper") -> tuple[str, Message]:
    """A tool call without the model."""
    return "mcpServer/tool/call", {
        "threadId": "THREAD", "server": server, "tool": name, "arguments": {"text": "x"},
    }


questions(
    "tools without a turn",
    call("echo"),
    call("fail"),
    call("refuse"),
    call("nothing"),
    call("echo", server="nobody"),
    ("mcpServer/resource/read", {"threadId": "THREAD", "server": "helper", "uri": "test://hello"}),
    ("mcpServer/resource/read", {"threadId": "THREAD", "server": "helper", "uri": "test://nothing"}),
    ("mcpServer/resource/read", {"threadId": "THREAD", "server": "nobody", "uri": "test://hello"}),
    ("mcpServerStatus/list", {"threadId": "THREAD"}),
    ("mcpServerStatus/list", {"threadId": "THREAD", "serverName": "nobody"}),
    ("mcpServerStatus/list", {"threadId": UNKNOWN}),
)


@step("interrupt")
async def _(cast: Cast) -> None:
    answer = await cast.a.ask(
        "turn/start", {"threadId": cast.thread, "input": text("STREAM n=1000 size=8 delay_ms=50")}
    )
    cast.turn = answer["result"]["turn"]["id"]
    await cast.a.note("item/agentMessage/delta")
    await cast.a.ask("turn/interrupt", {"threadId": cast.thread, "turnId": UNKNOWN})
    await cast.a.ask("turn/interrupt", {"threadId": cast.thread, "turnId": cast.turn})
    for client in (cast.a, cast.b):
        await client.note("turn/completed")


questions(
    "nothing to interrupt",
    ("turn/interrupt", {"threadId": "THREAD", "turnId": "TURN"}),
    ("turn/steer", {"threadId": "THREAD", "expectedTurnId": "TURN", "input": text("x")}),
)


@step("interrupt in a tool")
async def _(cast: Cast) -> None:
    answer = await cast.a.ask(
        "turn/start", {"threadId": cast.thread, "input": text("CALL mcp__helper sleep {}")}
    )
    await cast.a.note("item/started", lambda p: p["item"]["type"] == "mcpToolCall")
    params = {"threadId": cast.thread, "turnId": answer["result"]["turn"]["id"]}
    await cast.a.ask("turn/interrupt", params)
    for client in (cast.a, cast.b):
        await client.note("turn/completed")


@step("steer")
async def _(cast: Cast) -> None:
    answer = await cast.a.ask(
        "turn/start", {"threadId": cast.thread, "input": text("STREAM n=20 size=8 delay_ms=50")}
    )
    turn_id = answer["result"]["turn"]["id"]
    await cast.a.note("item/agentMessage/delta")
    params = {"threadId": cast.thread, "input": text("enough")}
    await cast.a.ask("turn/steer", {**params, "expectedTurnId": UNKNOWN})
    await cast.a.ask("turn/steer", {**params, "expectedTurnId": turn_id})
    for client in (cast.a, cast.b):
        await client.note("turn/completed")


@step("turn/start during a turn")
async def _(cast: Cast) -> None:
    await cast.a.ask(
        "turn/start", {"threadId": cast.thread, "input": text("STREAM n=20 size=8 delay_ms=50")}
    )
    await cast.a.note("item/agentMessage/delta")
    await cast.a.ask("turn/start", {"threadId": cast.thread, "input": text("enough")})
    for client in (cast.a, cast.b):
        await client.note("turn/completed")


@step("a turn that fails")
async def _(cast: Cast) -> None:
    await turn(cast.a, cast.thread, "FAIL status=400")
    await cast.b.note("turn/completed")


@step("a turn after one that failed")
async def _(cast: Cast) -> None:
    await turn(cast.a, cast.thread, "hi")
    await cast.b.note("turn/completed")
    await quiet(cast.c, cast.thread)


@step("a turn by one who does not follow")
async def _(cast: Cast) -> None:
    await cast.c.ask("turn/start", {"threadId": cast.thread, "input": text("hi")})
    for client in (cast.a, cast.b):
        await client.note("turn/completed")
    await quiet(cast.c, cast.thread)


def message(words: str) -> Message:
    """A user's words as the Responses API has them."""
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": words}]}


questions(
    "inject",
    ("thread/inject_items", {"threadId": "THREAD", "items": [message("by the way")]}),
    ("thread/inject_items", {"threadId": "THREAD", "items": []}),
    ("thread/inject_items", {"threadId": "THREAD", "items": [{"type": "message"}]}),
)


@step("compact")
async def _(cast: Cast) -> None:
    await cast.a.ask("thread/compact/start", {"threadId": cast.thread})
    await cast.a.note("turn/completed", lambda p: p["threadId"] == cast.thread)
    await quiet(cast.c, cast.thread)


@step("a turn after a summary")
async def _(cast: Cast) -> None:
    await turn(cast.a, cast.thread, "hi")
    await quiet(cast.c, cast.thread)


@step("revert")
async def _(cast: Cast) -> None:
    turns = await cast.a.ask("thread/turns/list", {"threadId": cast.thread, "limit": 2})
    before = turns["result"]["data"][1]["id"]
    await cast.a.ask("thread/revert", {"threadId": cast.thread, "beforeTurnId": before})
    for client in (cast.a, cast.b, cast.c):
        await client.note("thread/reverted")
    await cast.a.ask("thread/revert", {"threadId": cast.thread, "beforeTurnId": before})
    await cast.a.ask("thread/turns/list", {"threadId": cast.thread, "limit": 2})
    # The peer starts its helpers again, and has told so when one of them answers.
    await cast.a.ask(
        "mcpServer/tool/call",
        {"threadId": cast.thread, "server": "helper", "tool": "echo", "arguments": {"text": "x"}},
    )


@step("name")
async def _(cast: Cast) -> None:
    await cast.a.ask("thread/name/set", {"threadId": cast.thread, "name": "The first"})
    for client in (cast.a, cast.b, cast.c):
        await client.note("thread/name/updated")


@step("fork")
async def _(cast: Cast) -> None:
    answer = await cast.b.ask("thread/fork", {"threadId": cast.thread, "cwd": cast.work})
    cast.fork = answer["result"]["thread"]["id"]
    for client in (cast.a, cast.b, cast.c):
        await client.note("thread/started")
    await cast.b.note("mcpServer/startupStatus/updated", lambda p: p["status"] == "ready")


@step("a turn of the fork")
async def _(cast: Cast) -> None:
    await turn(cast.b, cast.fork, "hi")
    await quiet(cast.c, cast.fork)


questions("delete what was forked from", ("thread/delete", {"threadId": "THREAD"}))


@step("unsubscribe")
async def _(cast: Cast) -> None:
    for thread in (cast.thread, cast.thread, UNKNOWN):
        await cast.b.ask("thread/unsubscribe", {"threadId": thread})


@step("archive")
async def _(cast: Cast) -> None:
    await cast.a.ask("thread/archive", {"threadId": cast.fork})
    for client in (cast.a, cast.b, cast.c):
        await client.note("thread/archived")


questions(
    "what is archived",
    ("thread/archive", {"threadId": "FORK"}),
    ("thread/resume", {"threadId": "FORK"}),
    ("turn/start", {"threadId": "FORK", "input": text("hi")}),
    ("thread/read", {"threadId": "FORK"}),
    ("thread/list", {"archived": True}),
    ("thread/name/set", {"threadId": "FORK", "name": "The second"}),
)


@step("unarchive")
async def _(cast: Cast) -> None:
    await cast.a.ask("thread/unarchive", {"threadId": cast.fork})
    for client in (cast.a, cast.b, cast.c):
        await client.note("thread/unarchived")
    await cast.a.ask("thread/unarchive", {"threadId": cast.fork})


@step("resume from the store")
async def _(cast: Cast) -> None:
    await cast.b.ask("thread/resume", {"threadId": cast.fork})
    await cast.b.note("mcpServer/startupStatus/updated", lambda p: p["status"] == "ready")


@step("delete")
async def _(cast: Cast) -> None:
    await cast.a.ask("thread/delete", {"threadId": cast.fork})
    for client in (cast.a, cast.b, cast.c):
        await client.note("thread/deleted")
    await cast.a.ask("thread/read", {"threadId": cast.fork})


@step("an ephemeral thread")
async def _(cast: Cast) -> None:
    answer = await cast.b.ask("thread/start", {"cwd": cast.work, "ephemeral": True})
    thread = answer["result"]["thread"]["id"]
    await cast.b.note("mcpServer/startupStatus/updated", lambda p: p["status"] == "ready")
    await turn(cast.b, thread, "hi")
    for method in ("thread/read", "thread/archive"):
        await cast.b.ask(method, {"threadId": thread, "includeTurns": True})
    await quiet(cast.c, thread)


@step("reload")
async def _(cast: Cast) -> None:
    await cast.a.ask("config/mcpServer/reload")
    await cast.a.ask("config/mcpServer/reload", {})


questions(
    "what a local server is asked",
    ("account/read", {}),
    ("modelProvider/list", {}),
    ("configRequirements/read", None),
)

OF_A_THREAD = (
    "thread/read", "thread/resume", "thread/fork", "thread/archive", "thread/unarchive", "thread/delete",
    "thread/turns/list", "thread/items/list",
)


def about(thread: str) -> list[tuple[str, Message]]:
    """Every request that names a thread, with this one."""
    return [
        *((method, {"threadId": thread}) for method in OF_A_THREAD),
        ("thread/name/set", {"threadId": thread, "name": "x"}),
        ("turn/start", {"threadId": thread, "input": text("x")}),
        ("turn/steer", {"threadId": thread, "expectedTurnId": UNKNOWN, "input": text("x")}),
        ("turn/interrupt", {"threadId": thread, "turnId": UNKNOWN}),
        ("mcpServer/tool/call", {"threadId": thread, "server": "helper", "tool": "echo"}),
    ]


questions("threads that there are not", *about(UNKNOWN))
questions("ids that are none", *about("no-id"))
questions(
    "requests that are wrong",
    ("thread/rollback", {}),
    ("thread/read", {}),
    ("thread/read", {"threadId": 5}),
    ("thread/list", {"limit": "many"}),
    ("thread/list", {"limit": -1}),
    ("thread/list", {"sortKey": "bogus"}),
    ("turn/start", {"threadId": "THREAD"}),
)
