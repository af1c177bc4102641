"""Plays one script against the peer and against Verger, and compares what their clients hear.

`replay.py PEER VERGER DIFFERENCES`, two programs and docs/peer-differences.toml. Compared are, for each step and client,
which messages come, in which order, and the shape of each.
"""

import asyncio
import collections
import contextlib
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from conversation import Client, Message, Silence, serving
from differences import Differences
from script import STEPS, Cast
from shape import differences, shape
from stage import Home, Server

# What an entry of `[[replay]]` may speak of.
KEYS = {"step", "who", "message", "at", "what"}

# What the peer itself sends now before and now after other messages: helpers start beside everything else, and a turn
# may begin before its request is answered.
FREE = ("mcpServer/startupStatus/updated", "answer to turn/start")

# How often the peer is played: one play in thirty ends in an internal error of its store, or has a message twice that the
# others have once.
PATIENCE = 3

# What each client heard in each step.
Heard = dict[tuple[str, str], list[tuple[str, Message]]]


async def play(server: Server) -> tuple[Heard, list[str]]:
    """The whole script, with a home of its own: what was heard, and which steps could not be played to their end."""
    heard: Heard = {}
    broken = []
    home = Home(server, eager=True)
    try:
        async with serving(home) as url, contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(Client.connected(url, name)) for name in "abcd"]
            cast = Cast(*clients, work=str(home.work))
            for name, act in STEPS:
                try:
                    await act(cast)
                except (Silence, KeyError) as error:
                    # What follows may be its consequence; what was heard is compared all the same.
                    broken.append(f"{server.program} in step '{name}': {error}")
                for client in clients:
                    heard[name, client.name] = await client.step_over()
    finally:
        home.close()
    return heard, broken


def compare(peer: Heard, ours: Heard) -> Iterator[dict[str, str]]:
    """Everything that differs, also what is known."""
    for (step, who), theirs in peer.items():
        for message, at, what in compare_step(named(theirs), named(ours[step, who])):
            yield {"step": step, "who": who, "message": message, "at": at, "what": what}


def named(messages: list[tuple[str, Message]]) -> dict[str, Any]:
    """The shapes of what one client heard in one step, in order, each under a name that says which of several it is."""
    seen: collections.Counter[str] = collections.Counter()
    shapes = {}
    for method, message in messages:
        name = label(method, message)
        # However many pieces a text comes in, it is one thing.
        if seen[name] and name == "item/agentMessage/delta":
            continue
        seen[name] += 1
        key = name if seen[name] == 1 else f"{name} #{seen[name]}"
        shapes[key] = shape({k: v for k, v in message.items() if k not in ("id", "emittedAtMs")})
    return shapes


def label(method: str, message: Message) -> str:
    """What a message is: `answer to thread/read`, `turn/completed`, `item/started mcpToolCall`."""
    params = message.get("params", {})
    about = params.get("item", {}).get("type") or params.get("status")
    about = about.get("type") if isinstance(about, dict) else about
    return f"{method} {about}" if about else method


def compare_step(peer: dict[str, Any], ours: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Message, place and difference."""
    for name in peer.keys() - ours.keys():
        yield name, "", "only the peer sends it"
    for name in ours.keys() - peer.keys():
        yield name, "", "only Verger sends it"
    common = [name for name in peer if name in ours]
    place = {name: index for index, name in enumerate(ours)}
    bound = [name for name in common if not name.startswith(FREE)]
    for first, second in zip(bound, bound[1:]):
        if place[first] > place[second]:
            yield first, "", f"after {second}, where the peer sends it before"
    for name in common:
        for at, what in differences(peer[name], ours[name]):
            yield name, at, what


def judge(theirs: Heard, ours: Heard, known: Differences, file: str) -> list[str]:
    """What differs and is not known, and what is known and does not differ any more; a line or two each."""
    # The same difference in many places is told once.
    unexplained: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for found in compare(theirs, ours):
        if not known.explain(found):
            place = f"{found['message']}, heard by {found['who']} in step '{found['step']}'"
            unexplained[found["at"] or found["message"], found["what"]].append(place)
    faults = [
        f"FAULT {at}: {what}\n      {len(places)} times, first in {places[0]}"
        for (at, what), places in unexplained.items()
    ]
    return faults + [f"STALE {file}: nothing is like this any more: {entry}" for entry in known.unused()]


def main(peer: str, verger: str, file: str) -> int:
    ours, broken = asyncio.run(play(Server(verger, "verger")))
    for _ in range(PATIENCE):
        theirs, failed = asyncio.run(play(Server(peer, "codex")))
        known = Differences.read(pathlib.Path(file), "replay", KEYS)
        if failed:
            print("the peer failed by itself, which says nothing of Verger:\n", "\n".join(failed))
            continue
        faults = judge(theirs, ours, known, file)
        if not faults:
            break
        # What the peer does one time and not another is no difference from it.
        print("differs from this play of the peer:", *faults, sep="\n")
    else:
        faults = ["FAULT no play of the peer is like it"]
    for what in [f"BROKEN {what}" for what in broken] + faults:
        print(what)
    messages = sum(map(len, theirs.values())), sum(map(len, ours.values()))
    explained = sum(entry.used for entry in known.entries)
    print(f"compared {len(STEPS)} steps, {messages[0]} and {messages[1]} messages; {explained} known differences")
    return 1 if broken or faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
