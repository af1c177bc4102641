"""PyPI `openai-codex`, as it is: everything that its users do with threads and turns."""

import asyncio
import unittest

from openai_codex import AsyncCodex, Codex, CodexConfig, InvalidRequestError
from openai_codex.client import CodexClient
from openai_codex.models import UnknownNotification
from stage import Home, Server

LONG = "STREAM n=1000 size=8 delay_ms=50"
SHORT = "STREAM n=20 size=8 delay_ms=50"


class Client(unittest.TestCase):
    """A home of its own for each test."""

    def setUp(self):
        self.server = Server.from_environment()
        self.home = Home(self.server)
        self.addCleanup(self.home.close)

    def config(self, *overrides):
        return CodexConfig(
            codex_bin=self.server.program,
            config_overrides=overrides,
            cwd=str(self.home.work),
            env=self.home.environment(),
        )

    def open(self, *overrides):
        """A client, closed at the end of the test at the latest."""
        codex = Codex(self.config(*overrides))
        self.addCleanup(codex.close)
        return codex

    def texts(self, thread):
        """All that was said in a thread, as it is read back."""
        turns = thread.read(include_turns=True).thread.turns
        items = [item.root for turn in turns for item in turn.items]
        return [item.text if item.type == "agentMessage" else item.content[0].root.text for item in items]


class Threads(Client):
    def test_who_serves_is_told(self):
        codex = self.open()
        self.assertEqual(codex.metadata.serverInfo.name, "codex_python_sdk")
        self.assertEqual(codex.metadata.platformOs, "linux")

    def test_a_thread_is_started_listed_and_read(self):
        codex = self.open()
        thread = codex.thread_start(cwd=str(self.home.work))
        thread.run("hi")
        listed = codex.thread_list().data
        self.assertEqual([entry.id for entry in listed], [thread.id])
        self.assertEqual(listed[0].preview, "hi")
        self.assertEqual(listed[0].cwd.root, str(self.home.work))
        self.assertEqual(thread.read().thread.turns, [])
        self.assertEqual(self.texts(thread), ["hi", "ok"])

    def test_a_thread_is_resumed_by_another_process(self):
        codex = self.open()
        thread = codex.thread_start()
        thread.run("hi")
        codex.close()
        codex = self.open()
        # Without include_turns the client asks for no version; with it, it wants one that it knows.
        resumed = codex.thread_resume(thread.id, include_turns=True)
        self.assertEqual(resumed.id, thread.id)
        self.assertEqual(resumed.run("again").final_response, "ok")
        self.assertEqual(self.texts(resumed), ["hi", "ok", "again", "ok"])

    def test_a_thread_is_forked(self):
        codex = self.open()
        thread = codex.thread_start()
        thread.run("hi")
        fork = codex.thread_fork(thread.id)
        self.assertNotEqual(fork.id, thread.id)
        self.assertEqual(fork.read().thread.forked_from_id, thread.id)
        fork.run("only here")
        self.assertEqual(self.texts(fork), ["hi", "ok", "only here", "ok"])
        self.assertEqual(self.texts(thread), ["hi", "ok"])

    def test_a_thread_is_named(self):
        codex = self.open()
        thread = codex.thread_start()
        thread.run("hi")
        thread.set_name("The first")
        self.assertEqual(thread.read().thread.name, "The first")
        codex.close()
        (entry,) = self.open().thread_list().data
        self.assertEqual(entry.name, "The first")

    def test_a_thread_is_archived_and_unarchived(self):
        codex = self.open()
        thread = codex.thread_start()
        thread.run("hi")
        codex.thread_archive(thread.id)
        self.assertEqual(codex.thread_list().data, [])
        self.assertEqual([entry.id for entry in codex.thread_list(archived=True).data], [thread.id])
        with self.assertRaisesRegex(InvalidRequestError, "archived"):
            codex.thread_resume(thread.id)
        self.assertEqual(codex.thread_unarchive(thread.id).id, thread.id)
        self.assertEqual([entry.id for entry in codex.thread_list().data], [thread.id])
        self.assertEqual(codex.thread_resume(thread.id).run("again").final_response, "ok")

    def test_a_list_is_turned_page_by_page(self):
        codex = self.open()
        made = []
        for number in range(3):
            thread = codex.thread_start()
            thread.run(f"number {number}")
            made.append(thread.id)
        first = codex.thread_list(limit=2)
        second = codex.thread_list(limit=2, cursor=first.next_cursor)
        self.assertEqual({entry.id for entry in first.data + second.data}, set(made))
        self.assertEqual((len(first.data), len(second.data), second.next_cursor), (2, 1, None))

    def test_a_thread_is_compacted(self):
        codex = self.open()
        thread = codex.thread_start()
        thread.run("hi")
        thread.compact()
        # It is answered at once; the summary is a turn of its own, which no turn may join.
        while len(turns := thread.read(include_turns=True).thread.turns) < 2 or turns[1].status.value == "inProgress":
            pass
        self.assertEqual([item.root.type for item in turns[1].items], ["contextCompaction"])
        self.assertEqual(thread.run("again").final_response, "ok")

    def test_what_is_not_there_is_an_invalid_request(self):
        codex = self.open()
        unknown = "0199a213-81a0-7800-8aa0-bbab2a035a53"
        for ask in (codex.thread_resume, codex.thread_fork, codex.thread_archive):
            with self.assertRaisesRegex(InvalidRequestError, f"no rollout found for thread id {unknown}"):
                ask(unknown)
        with self.assertRaises(InvalidRequestError):
            codex.thread_unarchive(unknown)

    def test_models_and_account_are_told(self):
        codex = self.open()
        self.assertIsInstance(codex.models().data, list)
        self.assertIsNone(codex.account().account)

    def test_an_override_counts(self):
        with CodexClient(self.config('model="other-model"')) as client:
            client.initialize()
            self.assertEqual(client.thread_start().model, "other-model")


class Turns(Client):
    def test_a_turn_runs(self):
        result = self.open().thread_start().run("hi")
        self.assertEqual((result.status.value, result.final_response), ("completed", "ok"))
        self.assertEqual([item.root.type for item in result.items], ["userMessage", "agentMessage"])
        self.assertIsNone(result.error)
        self.assertIsNotNone(result.duration_ms)

    def test_a_turn_tells_what_it_used(self):
        self.assertEqual(self.open().thread_start().run("hi").usage.total.total_tokens, 15)

    def test_a_turn_is_streamed_and_every_event_is_known(self):
        turn = self.open().thread_start().turn("STREAM n=5 size=8")
        events = list(turn.stream())
        unknown = [event.method for event in events if isinstance(event.payload, UnknownNotification)]
        self.assertEqual(unknown, [])
        deltas = [event.payload.delta for event in events if event.method == "item/agentMessage/delta"]
        self.assertEqual("".join(deltas), "".join(f"{n:06} ." for n in range(5)))
        methods = [event.method for event in events]
        self.assertEqual((methods[0], methods[-1]), ("turn/started", "turn/completed"))

    def test_a_turn_calls_a_tool(self):
        codex = self.open()
        result = codex.thread_start().run('CALL mcp__helper echo {"text": "ding"}')
        (call,) = [item.root for item in result.items if item.root.type == "mcpToolCall"]
        self.assertEqual((call.server, call.tool, call.status.value), ("helper", "echo", "completed"))
        self.assertEqual(call.result.content[0]["text"], "ding")
        self.assertEqual(result.final_response, "done")
        if self.server.kind == "verger":
            with self.home.helpers_end():
                codex.close()

    def test_a_turn_is_interrupted(self):
        turn = self.open().thread_start().turn(LONG)
        status = None
        for event in turn.stream():
            if event.method == "item/agentMessage/delta" and status is None:
                status = turn.interrupt()
            if event.method == "turn/completed":
                status = event.payload.turn.status.value
        self.assertEqual(status, "interrupted")

    def test_a_turn_is_steered(self):
        thread = self.open().thread_start()
        turn = thread.turn(SHORT)
        steered = None
        for event in turn.stream():
            if event.method == "item/agentMessage/delta" and steered is None:
                steered = turn.steer("enough")
            if event.method == "turn/completed":
                self.assertEqual(event.payload.turn.status.value, "completed")
        self.assertEqual(steered.turn_id, turn.id)
        self.assertEqual(self.texts(thread)[-2:], ["enough", "ok"])

    def test_a_second_turn_joins_the_running_one(self):
        thread = self.open().thread_start()
        first = thread.turn(SHORT)
        second = thread.turn("enough")
        self.assertEqual(second.id, first.id)
        self.assertEqual(first.run().status.value, "completed")

    def test_a_failed_turn_says_why(self):
        thread = self.open().thread_start()
        with self.assertRaisesRegex(RuntimeError, "told to fail with 400"):
            thread.run("FAIL status=400")
        self.assertEqual(thread.run("hi").final_response, "ok")

    def test_steering_the_wrong_turn_names_the_right_one(self):
        codex = self.open()
        thread = codex.thread_start()
        turn = thread.turn(LONG)
        for event in turn.stream():
            if event.method == "turn/started":
                with self.assertRaises(InvalidRequestError) as refused:
                    codex._client.turn_steer(thread.id, "another", "hi")
                # The client itself reads it so, to go on with the right one.
                self.assertRegex(refused.exception.message, f" but found `?{turn.id}`?$")
                turn.interrupt()


class Approvals(Client):
    """The client hands every question of the server's to one handler; its own says `{}` to those it does not know."""

    def write(self, handler):
        """A turn that calls a tool which may change things; the questions that were asked, and the call."""
        asked = []

        def answer(method, params):
            asked.append((method, params))
            return handler(method, params)

        chosen = {"approvalPolicy": "on-request", "sandbox": "read-only"}
        with CodexClient(self.config(), approval_handler=answer if handler else None) as client:
            client.initialize()
            thread = client.thread_start(chosen).thread.id
            turn = client.turn_start(thread, 'CALL mcp__helper write {"text": "ding"}').turn
            ended = client.wait_for_turn_completed(turn.id)
            self.assertEqual(ended.turn.status.value, "completed")
            turns = client.thread_read(thread, include_turns=True).thread.turns
        (call,) = [item.root for item in turns[0].items if item.root.type == "mcpToolCall"]
        return asked, call

    def test_a_tool_runs_when_the_handler_says_yes(self):
        asked, call = self.write(lambda method, params: {"action": "accept", "content": None, "_meta": None})
        ((method, params),) = asked
        self.assertEqual(method, "mcpServer/elicitation/request")
        self.assertEqual((params["serverName"], params["_meta"]["tool_name"]), ("helper", "write"))
        self.assertEqual((call.status.value, call.result.content[0]["text"]), ("completed", "ding"))

    def test_a_tool_does_not_run_when_it_says_no(self):
        _, call = self.write(lambda method, params: {"action": "decline", "content": None, "_meta": None})
        self.assertEqual((call.status.value, call.error.message), ("failed", "user rejected MCP tool call"))

    def test_without_a_handler_a_tool_does_not_run(self):
        _, call = self.write(None)
        self.assertEqual(call.status.value, "failed")
        self.assertRegex(call.error.message, "^user rejected MCP tool call")


class Async(Client):
    def test_turns_run_side_by_side(self):
        async def story():
            async with AsyncCodex(self.config()) as codex:
                threads = [await codex.thread_start() for _ in range(4)]
                results = await asyncio.gather(*(thread.run("STREAM n=20 size=8") for thread in threads))
                return {result.status.value for result in results}

        self.assertEqual(asyncio.run(story()), {"completed"})

    def test_a_turn_is_streamed_and_interrupted(self):
        async def story():
            async with AsyncCodex(self.config()) as codex:
                thread = await codex.thread_start()
                turn = await thread.turn(LONG)
                asked = False
                async for event in turn.stream():
                    if event.method == "item/agentMessage/delta" and not asked:
                        asked = True
                        await turn.interrupt()
                    if event.method == "turn/completed":
                        return event.payload.turn.status.value

        self.assertEqual(asyncio.run(story()), "interrupted")


if __name__ == "__main__":
    unittest.main()
