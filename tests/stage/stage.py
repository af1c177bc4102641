"""What tests from outside stand on: a home of its own for one server, a fake model, and an MCP helper that can be found.

`SERVER` names the program under test, `SERVER_KIND` says what it is (`verger`, or `codex` for the peer), and
`FAKE_MODEL` names the testkit's fake model.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import unittest
import uuid
from collections.abc import Callable, Iterator
from typing import TypeVar

Test = TypeVar("Test", bound=Callable[..., None])
HELPER = pathlib.Path(__file__).with_name("mcp_helper.py")

# The peer asks the network for these unless told not to.
ONLY_FOR_CODEX = "requires_openai_auth = false\nsupports_websockets = false\n[features]\nplugins = false\napps = false\n"


@dataclasses.dataclass(frozen=True)
class Server:
    """A program that speaks the protocol."""

    program: str
    kind: str

    @classmethod
    def from_environment(cls) -> "Server":
        return cls(os.environ["SERVER"], os.environ["SERVER_KIND"])


def not_yet(reason: str) -> Callable[[Test], Test]:
    """For a test that the peer passes and Verger does not, for this reason; that it does is then told as a failure."""
    assert reason
    return unittest.expectedFailure if Server.from_environment().kind == "verger" else lambda test: test


class Home:
    """A folder for one server's configuration and state, removed at the end, and a fake model that listens."""

    def __init__(self, server: Server, eager: bool = False) -> None:
        """Verger starts helpers at their first use, unless `eager`; the peer always with their thread."""
        self.server = server
        self.tag = f"helper-{uuid.uuid4().hex}"
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="verger-outside-")).resolve()
        self.work = self.path / "work"
        self.work.mkdir()
        self._model = subprocess.Popen(
            [os.environ["FAKE_MODEL"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._write_config(self._model.stdout.readline(), eager)

    def close(self) -> None:
        """Ends the model, which ends with its input, and removes the folder."""
        self._model.communicate()
        shutil.rmtree(self.path)

    def environment(self) -> dict[str, str]:
        """The test's own, with nothing that reaches past the home."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CODEX_", "OPENAI_", "VERGER_"))}
        return kept | {"VERGER_HOME": str(self.path), "CODEX_HOME": str(self.path), "HOME": str(self.path)}

    def helpers(self) -> list[int]:
        """Pids of the live helpers of this home, as the kernel shows them."""
        return [pid for pid in _pids() if self.tag.encode() in _command_line(pid)]

    @contextlib.contextmanager
    def helpers_end(self, seconds: float = 5) -> Iterator[None]:
        """Requires that helpers live now, and that none is left soon after the block."""
        watched = {os.pidfd_open(pid): pid for pid in self.helpers()}
        try:
            assert watched, "no helper lives"
            yield
            for descriptor, pid in watched.items():
                ended, _, _ = select.select([descriptor], [], [], seconds)
                assert ended, f"helper {pid} lives on"
            assert not self.helpers(), "a helper that nobody saw start"
        finally:
            for descriptor in watched:
                os.close(descriptor)

    def _write_config(self, base_url: str, eager: bool) -> None:
        arguments = json.dumps([str(HELPER), self.tag])
        text = f"""
model = "mock-model"
model_provider = "mock"
approval_policy = "never"
sandbox_mode = "danger-full-access"
[mcp_servers.helper]
command = {json.dumps(sys.executable)}
args = {arguments}
{'start = "eager"' if eager and self.server.kind == "verger" else ""}
[model_providers.mock]
name = "mock"
{base_url}
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""
        if self.server.kind == "codex":
            text += ONLY_FOR_CODEX
        (self.path / "config.toml").write_text(text)


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _command_line(pid: int) -> bytes:
    # It may have ended since it was listed.
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
