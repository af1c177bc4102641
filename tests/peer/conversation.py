"""Clients that talk to one server and keep all that they hear, step by step."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import websockets
from stage import Home

Message = dict[str, Any]

# How long an answer or a notification is waited for.
LIMIT = 20
# A request of this method closes each step; its answer is no part of the conversation.
BARRIER = "thread/loaded/list"


class Silence(Exception):
    """What was to come did not."""


class Client:
    """One connection. What is heard is kept for the step that is under way."""

    def __init__(self, name: str, socket: websockets.ClientConnection) -> None:
        self.name = name
        self.heard: list[Message] = []
        self._socket = socket
        self._ids = itertools.count(1)
        self._asked: dict[Any, str] = {}
        self._arrived = asyncio.Condition()

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, url: str, name: str) -> AsyncIterator["Client"]:
        """Connected as long as the block lasts."""
        async with websockets.connect(url, max_size=None, compression=None, proxy=None) as socket:
            client = cls(name, socket)
            reading = asyncio.create_task(client._read())
            try:
                yield client
            finally:
                reading.cancel()

    async def ask(self, method: str, params: Any = None) -> Message:
        """Sends a request, without `params` where there are none, and waits for the whole answer."""
        id_ = next(self._ids)
        self._asked[id_] = method
        members = {} if params is None else {"params": params}
        await self._socket.send(json.dumps({"id": id_, "method": method, **members}))
        return await self.find(f"answer to {method}", lambda m: "method" not in m and m.get("id") == id_)

    async def hello(self) -> Message:
        """The handshake."""
        info = {"name": self.name, "title": None, "version": "0"}
        answer = await self.ask("initialize", {"clientInfo": info, "capabilities": {"experimentalApi": True}})
        await self._socket.send(json.dumps({"method": "initialized"}))
        return answer

    async def note(self, method: str, fits: Callable[[Message], bool] = lambda _: True) -> Message:
        """Waits for a notification of this step; its parameters."""
        found = await self.find(method, lambda m: m.get("method") == method and fits(m["params"]))
        return found["params"]

    async def find(self, what: str, fits: Callable[[Message], bool]) -> Message:
        """Waits for a message of this step."""
        try:
            async with asyncio.timeout(LIMIT), self._arrived:
                await self._arrived.wait_for(lambda: any(map(fits, self.heard)))
        except TimeoutError:
            heard = "".join(f"\n  {json.dumps(message)[:300]}" for message in self.heard)
            raise Silence(f"{self.name}: no {what} in {LIMIT} s; heard instead:{heard}") from None
        return next(filter(fits, self.heard))

    async def step_over(self) -> list[tuple[str, Message]]:
        """What was heard in this step, each message with its method or that of the request that it answers."""
        await self._socket.send(json.dumps({"id": "barrier", "method": BARRIER, "params": {}}))
        await self.find("answer to the barrier", lambda m: m.get("id") == "barrier")
        heard, self.heard = self.heard, []
        named = [(m.get("method") or f"answer to {self._asked.get(m['id'], 'nothing')}", m) for m in heard]
        return [(name, message) for name, message in named if message.get("id") != "barrier"]

    async def _read(self) -> None:
        async for text in self._socket:
            async with self._arrived:
                self.heard.append(json.loads(text))
                self._arrived.notify_all()


@contextlib.asynccontextmanager
async def serving(home: Home) -> AsyncIterator[str]:
    """The home's server, on a port of its own, as long as the block lasts; its URL."""
    server = await asyncio.create_subprocess_exec(
        home.server.program, "app-server", "--listen", "ws://127.0.0.1:0",
        cwd=home.work, env=home.environment(), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )
    said, draining = [], []
    try:
        async with asyncio.timeout(LIMIT):
            async for line in server.stderr:
                said.append(line.decode())
                if "ws://" in said[-1]:
                    break
            else:
                raise Silence(f"{home.server.program} does not serve; it said:\n{''.join(said)}")
        # A pipe that nobody empties would stop the server one day. It ends with the server.
        draining.append(asyncio.create_task(server.stderr.read()))
        yield "ws://" + said[-1].partition("ws://")[2].split()[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.terminate()
        await asyncio.gather(server.wait(), *draining)
