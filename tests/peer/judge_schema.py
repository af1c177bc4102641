"""Holds every recorded message against the peer's JSON Schema: `judge_schema.py SCHEMA RECORDINGS DIFFERENCES`.

Faults that docs/peer-differences.toml does not explain are told, and so are entries of it that explain nothing.
"""

import collections
import dataclasses
import pathlib
import sys
from collections.abc import Iterable, Iterator

import recording
from differences import Differences
from recording import Message
from schema import Fault, Schema

# What an entry of `[[schema]]` may speak of.
KEYS = {"kind", "method", "outcome", "at", "what"}


@dataclasses.dataclass
class Verdict:
    """What came of it: faults by what they are, each with the places where they were seen."""

    messages: collections.Counter[str]
    faults: dict[tuple[str, ...], list[str]]
    explained: int


def judge(schema: Schema, messages: Iterable[Message], differences: Differences) -> Verdict:
    """Judges all messages."""
    verdict = Verdict(collections.Counter(), {}, 0)
    for message in messages:
        verdict.messages[message.kind] += 1
        for fault in faults(schema, message):
            finding = {
                "kind": message.kind,
                "method": message.method,
                "outcome": message.outcome,
                "at": fault.at,
                "what": fault.what,
            }
            if differences.explain(finding):
                verdict.explained += 1
            else:
                verdict.faults.setdefault(tuple(finding.values()), []).append(message.where)
    return verdict


def faults(schema: Schema, message: Message) -> Iterator[Fault]:
    """What is wrong with one message."""
    if message.kind == "no message":
        yield Fault("", "is no message at all")
        return
    if message.kind == "reply" and not message.method:
        yield Fault("id", "answers nothing that was asked")
        return
    found = schema.faults(message.kind, message.method, message.body)
    yield from found
    if message.kind == "request" and not found and message.outcome == "not understood":
        yield Fault("", "right by the schema, but not understood")


def main(schema: str, recordings: str, differences: str) -> int:
    known = Differences.read(pathlib.Path(differences), "schema", KEYS)
    verdict = judge(Schema(pathlib.Path(schema)), recording.read(pathlib.Path(recordings)), known)
    for (kind, method, outcome, at, what), places in sorted(verdict.faults.items()):
        about = f"{method} ({outcome})" if outcome else method
        print(f"FAULT {kind} {about}: {at or 'the message'}: {what}\n      {len(places)} times, first in {places[0]}")
    for entry in known.unused():
        print(f"STALE {differences}: nothing is like this any more: {entry}")
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(verdict.messages.items()))
    print(f"judged {verdict.messages.total()} messages ({counts}); {verdict.explained} known differences")
    if not verdict.messages["reply"] or not verdict.messages["notification"]:
        print(f"FAULT {recordings} holds no conversation: silence proves nothing")
        return 1
    return 1 if verdict.faults or known.unused() else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
