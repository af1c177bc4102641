"""PyPI `codex-app-server-client`, as it is: the same transport, and an older idea of the protocol.

It cannot read the peer's `error` notification (its reader ends there), so no turn fails here.
"""

import asyncio
import unittest

from codex_app_server_client import (
    AgentMessageDeltaEvent,
    CodexAppServer,
    EventAction,
    SyncCodexAppServer,
    ThreadForkParams,
    ThreadListParams,
    ThreadReadParams,
    ThreadStartParams,
    TurnSteerParams,
)
from codex_app_server_client.types.threads import ThreadUnarchiveParams
from stage import Home, Server

LONG = "STREAM n=1000 size=8 delay_ms=50"
SHORT = "STREAM n=20 size=8 delay_ms=50"


def interrupt_at_the_first_word(method, event):
    """For `on_event`: what has begun is interrupted, once."""
    return EventAction.INTERRUPT if isinstance(event, AgentMessageDeltaEvent) else EventAction.CONTINUE


class Client(unittest.TestCase):
    """A home of its own for each test."""

    def setUp(self):
        self.server = Server.from_environment()
        self.home = Home(self.server)
        self.addCleanup(self.home.close)

    def open(self):
        """A client, closed at the end of the test at the latest."""
        client = SyncCodexAppServer(self.server.program, env=self.home.environment())
        client.start()
        self.addCleanup(client.close)
        return client


class Threads(Client):
    def listed(self, client, archived=False):
        """Ids of the saved threads."""
        answer = client.low_level.thread_list(ThreadListParams(archived=archived))
        return [thread.id for thread in answer.data]

    def turns(self, client, thread):
        """The turns of a thread, as they are read back."""
        params = ThreadReadParams(thread_id=thread.id, include_turns=True)
        return client.low_level.thread_read(params).thread.turns

    def test_a_thread_is_started_listed_and_read(self):
        client = self.open()
        thread = client.start_thread()
        thread.run("hi")
        self.assertEqual(self.listed(client), [thread.id])
        (turn,) = self.turns(client, thread)
        self.assertEqual([item["type"] for item in turn.items], ["userMessage", "agentMessage"])
        self.assertIn(thread.id, client.low_level.thread_loaded_list().data)

    def test_a_thread_is_resumed_by_another_process(self):
        client = self.open()
        thread = client.start_thread()
        thread.run("hi")
        client.close()
        client = self.open()
        resumed = client.resume_thread(thread.id)
        self.assertEqual(resumed.run("again").final_response, "ok")
        self.assertEqual(len(self.turns(client, resumed)), 2)

    def test_a_thread_is_forked_and_named(self):
        client = self.open()
        thread = client.start_thread()
        thread.run("hi")
        fork = client.low_level.thread_fork(ThreadForkParams(thread_id=thread.id)).thread
        self.assertNotEqual(fork.id, thread.id)
        self.assertEqual(client.low_level.thread_set_name(fork.id, "The second"), {})
        read = client.low_level.thread_read(ThreadReadParams(thread_id=fork.id)).thread
        self.assertEqual(read.name, "The second")

    def test_a_thread_is_archived_and_unarchived(self):
        client = self.open()
        thread = client.start_thread()
        thread.run("hi")
        self.assertEqual(client.low_level.thread_archive(thread.id), {})
        self.assertEqual((self.listed(client), self.listed(client, archived=True)), ([], [thread.id]))
        back = client.low_level.thread_unarchive(ThreadUnarchiveParams(thread_id=thread.id))
        self.assertEqual(back.thread.id, thread.id)
        self.assertEqual((self.listed(client), self.listed(client, archived=True)), ([thread.id], []))

    def test_what_is_not_there_is_refused(self):
        client = self.open()
        with self.assertRaisesRegex(RuntimeError, "-32600: no rollout found for thread id"):
            client.resume_thread("0199a213-81a0-7800-8aa0-bbab2a035a53")

    def test_what_a_local_server_is_asked_is_answered(self):
        low = self.open().low_level
        self.assertIsNone(low.account_read().account)
        if self.server.kind == "verger":
            # It knows fewer efforts than the models that the peer lists.
            self.assertIsInstance(low.model_list().data, list)
        self.assertEqual(low.config_read().config["model"], "mock-model")
        low.config_requirements_read()
        low.config_mcp_server_reload()
        self.assertEqual([server.name for server in low.mcp_server_status_list().data], ["helper"])


class Turns(Client):
    def test_a_turn_runs(self):
        result = self.open().start_thread().run("hi")
        self.assertEqual((result.status, result.final_response), ("completed", "ok"))
        self.assertEqual([item["type"] for item in result.items], ["userMessage", "agentMessage"])

    def test_a_turn_is_streamed(self):
        events = list(self.open().start_thread().run_streamed("STREAM n=5 size=8"))
        deltas = [event.delta for event in events if isinstance(event, AgentMessageDeltaEvent)]
        self.assertEqual("".join(deltas), "".join(f"{n:06} ." for n in range(5)))

    def test_a_turn_calls_a_tool(self):
        client = self.open()
        result = client.start_thread().run('CALL mcp__helper echo {"text": "ding"}')
        (call,) = [item for item in result.items if item["type"] == "mcpToolCall"]
        self.assertEqual((call["status"], call["result"]["content"][0]["text"]), ("completed", "ding"))
        if self.server.kind == "verger":
            with self.home.helpers_end():
                client.close()

    def test_a_tool_runs_when_the_handler_says_yes(self):
        for answer, status in (("accept", "completed"), ("decline", "failed"), (None, "failed")):
            client = self.open()
            if answer:
                client.low_level.on_server_request(
                    "mcpServer/elicitation/request", lambda method, params, answer=answer: {"action": answer}
                )
            thread = client.start_thread(ThreadStartParams(approval_policy="on-request", sandbox="read-only"))
            result = thread.run('CALL mcp__helper write {"text": "ding"}')
            (call,) = [item for item in result.items if item["type"] == "mcpToolCall"]
            self.assertEqual((result.status, call["status"]), ("completed", status), answer)
            client.close()

    def test_a_turn_is_interrupted(self):
        result = self.open().start_thread().run(LONG, on_event=interrupt_at_the_first_word)
        self.assertEqual(result.status, "interrupted")

    def test_a_turn_is_steered(self):
        client = self.open()
        thread = client.start_thread()
        steered = []
        for event in thread.run_streamed(SHORT):
            if isinstance(event, AgentMessageDeltaEvent) and not steered:
                steer = TurnSteerParams(
                    thread_id=thread.id,
                    expected_turn_id=event.turn_id,
                    input=[{"type": "text", "text": "enough"}],
                )
                steered.append(client.low_level.turn_steer(steer).turn_id == event.turn_id)
        self.assertEqual(steered, [True])
        self.assertEqual(event.turn.status.value, "completed")


class Async(Client):
    def test_a_turn_runs_and_another_is_interrupted(self):
        async def story():
            async with CodexAppServer(self.server.program, env=self.home.environment()) as client:
                thread = await client.start_thread()
                ran = await thread.run("hi")
                cut = await thread.run(LONG, on_event=interrupt_at_the_first_word)
                return ran.status, ran.final_response, cut.status

        self.assertEqual(asyncio.run(story()), ("completed", "ok", "interrupted"))


if __name__ == "__main__":
    unittest.main()
