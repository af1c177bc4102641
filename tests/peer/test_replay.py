"""The comparison itself: what is the same passes, and what differs in any one way is seen."""

import copy
import unittest

from replay import compare

TURN = {"id": "01a1f980-a03c-75c2-8e66-348820c0f930", "status": "inProgress", "error": None, "items": []}
HEARD = {
    ("a turn", "a"): [
        ("turn/start", {"id": 3, "result": {"turn": dict(TURN)}}),
        ("turn/started", {"method": "turn/started", "params": {"turn": dict(TURN)}, "emittedAtMs": 1}),
        ("item/agentMessage/delta", {"method": "item/agentMessage/delta", "params": {"delta": "one"}}),
        ("item/agentMessage/delta", {"method": "item/agentMessage/delta", "params": {"delta": "two"}}),
        ("turn/start", {"id": 4, "error": {"code": -32600, "message": f"thread not found: {TURN['id']}"}}),
    ]
}


class TheComparison(unittest.TestCase):
    def found(self, change):
        """Message, place and difference of all that differs once one server's messages are changed."""
        ours = copy.deepcopy(HEARD)
        change(ours["a turn", "a"])
        return [(found["message"], found["at"], found["what"]) for found in compare(HEARD, ours)]

    def changed(self, index, change):
        """The same, where one message is changed."""
        return self.found(lambda messages: change(messages[index][1]))

    def test_the_same_passes_whatever_its_ids_and_times(self):
        self.assertEqual(self.found(lambda messages: None), [])
        other = {"id": "7b0a11d6-3c5f-4e7c-9ab2-0d4f6c1a2b3c"}
        self.assertEqual(self.changed(0, lambda m: m.update(id=9)), [])
        self.assertEqual(self.changed(0, lambda m: m["result"]["turn"].update(other)), [])
        self.assertEqual(self.changed(1, lambda m: m.update(emittedAtMs=2)), [])
        self.assertEqual(self.changed(4, lambda m: m["error"].update(message=f"thread not found: {other['id']}")), [])

    def test_pieces_of_a_text_are_not_counted(self):
        self.assertEqual(self.found(lambda messages: messages.pop(2)), [])

    def test_another_type_null_word_or_error(self):
        turn = "result.turn."
        found = self.changed(0, lambda m: m["result"]["turn"].update(error="x"))
        self.assertEqual(found, [("turn/start", turn + "error", "x, where the peer has null")])
        found = self.changed(0, lambda m: m["result"]["turn"].update(status="running"))
        self.assertEqual(found, [("turn/start", turn + "status", "running, where the peer has inProgress")])
        found = self.changed(4, lambda m: m["error"].update(code=-32601))
        self.assertEqual(found, [("turn/start #2", "error.code", "-32601, where the peer has -32600")])

    def test_a_member_too_many_and_one_too_few(self):
        found = self.changed(0, lambda m: m["result"]["turn"].pop("error"))
        self.assertEqual(found, [("turn/start", "result.turn.error", "missing, where the peer has null")])
        found = self.changed(0, lambda m: m["result"]["turn"].update(extra=1))
        self.assertEqual(found, [("turn/start", "result.turn.extra", "number, which the peer does not have")])

    def test_a_message_too_many_and_one_too_few(self):
        self.assertEqual(self.found(lambda ms: ms.pop(1)), [("turn/started", "", "only the peer sends it")])
        twice = self.found(lambda messages: messages.append(messages[1]))
        self.assertEqual(twice, [("turn/started #2", "", "only Verger sends it")])

    def test_another_order(self):
        found = self.found(lambda messages: messages.insert(1, messages.pop(0)))
        self.assertEqual(found, [("turn/start", "", "after turn/started, where the peer sends it before")])


if __name__ == "__main__":
    unittest.main()
