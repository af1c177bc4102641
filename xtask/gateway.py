"""Runs LiteLLM's proxy until standard input ends, so that it cannot outlive whoever started it."""

import os
import sys
import threading


def leave():
    sys.stdin.buffer.read()
    os._exit(0)


threading.Thread(target=leave, daemon=True).start()

from litellm import run_server  # noqa: E402: it takes seconds, and standard input may end meanwhile

run_server()
