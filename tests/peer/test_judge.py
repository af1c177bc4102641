"""The judge itself: what is right passes, and what is broken in any one way is seen. Needs `PEER_SCHEMA`."""

import copy
import json
import os
import pathlib
import tempfile
import unittest

import recording
from differences import BadEntry, Differences
from judge_schema import KEYS, judge
from schema import Schema

THREAD = {
    "id": "t", "sessionId": "t", "forkedFromId": None, "preview": "", "ephemeral": False, "modelProvider": "mock",
    "createdAt": 1, "updatedAt": 1, "status": {"type": "idle"}, "path": None, "cwd": "/w", "cliVersion": "0",
    "source": "vscode", "name": None, "turns": [], "historyMode": "paginated", "projectId": None,
}
ITEM = {"type": "agentMessage", "id": "i", "text": "ok", "phase": None, "memoryCitation": None}
CONVERSATION = [
    {"sent": {"id": 1, "method": "thread/read", "params": {"threadId": "t"}}},
    {"heard": {"id": 1, "result": {"thread": THREAD}}},
    {"heard": {"method": "item/completed", "emittedAtMs": 1,
               "params": {"threadId": "t", "turnId": "u", "item": ITEM, "completedAtMs": 1}}},
    {"heard": {"method": "thread/closed", "params": {"threadId": "t"}}},
    {"sent": {"id": 2, "method": "thread/unarchive", "params": {"threadId": "t"}}},
    {"heard": {"id": 2, "error": {"code": -32600, "message": "no archived rollout found"}}},
]


class TheJudge(unittest.TestCase):
    schema = Schema(pathlib.Path(os.environ["PEER_SCHEMA"]))

    def faults(self, conversation, differences=Differences([], KEYS)):
        """Kind, place and fault of all that is found in these lines."""
        with tempfile.TemporaryDirectory() as folder:
            lines = "".join(json.dumps(line) + "\n" for line in conversation)
            (pathlib.Path(folder) / "one.jsonl").write_text(lines)
            verdict = judge(self.schema, recording.read(pathlib.Path(folder)), differences)
        return {(kind, at, what) for kind, _, _, at, what in verdict.faults}

    def broken(self, line, change):
        """The faults of the conversation with one line changed."""
        conversation = copy.deepcopy(CONVERSATION)
        (message,) = conversation[line].values()
        change(message)
        return self.faults(conversation)

    def test_what_is_right_passes(self):
        self.assertEqual(self.faults(CONVERSATION), set())

    def test_a_member_of_the_wrong_type(self):
        found = self.broken(1, lambda m: m["result"]["thread"].update(createdAt="today"))
        self.assertEqual(found, {("reply", "thread.createdAt", "is a string, not integer")})

    def test_a_missing_member(self):
        found = self.broken(1, lambda m: m["result"]["thread"].pop("cwd"))
        self.assertEqual(found, {("reply", "thread.cwd", "missing")})

    def test_a_misspelt_optional_member(self):
        found = self.broken(1, lambda m: m["result"]["thread"].update(Name=None))
        self.assertEqual(found, {("reply", "thread.Name", "unknown member")})

    def test_a_member_of_one_variant_among_many(self):
        found = self.broken(2, lambda m: m["params"]["item"].update(text=5))
        self.assertEqual(found, {("notification", "params.item.text", "is a number, not string")})
        found = self.broken(2, lambda m: m["params"]["item"].update(txt="ok"))
        self.assertEqual(found, {("notification", "params.item.txt", "unknown member")})

    def test_a_variant_that_there_is_not(self):
        (fault,) = self.broken(1, lambda m: m["result"]["thread"].update(status={"type": "asleep"}))
        self.assertEqual(fault[:2], ("reply", "thread.status.type"))

    def test_an_unknown_notification(self):
        found = self.broken(3, lambda m: m.update(method="thread/shut"))
        self.assertEqual(found, {("notification", "", "unknown method")})

    def test_a_member_beside_the_result(self):
        found = self.broken(1, lambda m: m.update(took=5))
        self.assertEqual(found, {("reply", "took", "unknown member")})

    def test_an_error_without_a_message(self):
        found = self.broken(5, lambda m: m["error"].pop("message"))
        self.assertEqual(found, {("error", "error.message", "missing")})

    def test_a_reply_to_nothing(self):
        found = self.broken(1, lambda m: m.update(id=7))
        self.assertEqual(found, {("reply", "id", "answers nothing that was asked")})

    def test_a_right_request_that_is_not_understood(self):
        wanted = {("request", "", "right by the schema, but not understood")}
        self.assertEqual(self.broken(5, lambda m: m["error"].update(code=-32601)), wanted)
        unread = {"code": -32602, "message": "Invalid params: threadId: invalid type: string"}
        self.assertEqual(self.broken(5, lambda m: m.update(error=unread)), wanted)
        read = {"code": -32602, "message": "Invalid params: threadId: no such thread"}
        self.assertEqual(self.broken(5, lambda m: m.update(error=read)), set())

    def test_a_wrong_request_that_is_accepted(self):
        found = self.broken(0, lambda m: m["params"].update(threadId=5))
        self.assertEqual(found, {("request", "params.threadId", "is a number, not string")})


class TheDifferences(unittest.TestCase):
    FINDING = {"kind": "reply", "method": "thread/read", "outcome": "", "at": "turns[].id", "what": "missing"}

    def test_an_entry_explains_and_is_used(self):
        entries = [{"method": "thread/*", "at": "turns[].*", "reason": "r"}, {"kind": "error", "reason": "r"}]
        known = Differences(entries, KEYS)
        self.assertIs(known.explain(self.FINDING), known.entries[0])
        self.assertEqual(known.unused(), known.entries[1:])
        self.assertIsNone(known.explain(self.FINDING | {"at": "turnsi"}))

    def test_an_entry_that_means_nothing_is_refused(self):
        for words in ({"kind": "reply"}, {"reason": "r"}, {"knd": "reply", "reason": "r"}):
            with self.assertRaises(BadEntry):
                Differences([words], KEYS)


if __name__ == "__main__":
    unittest.main()
