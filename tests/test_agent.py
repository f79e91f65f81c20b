"""The agent's own end, of which the guard keeps the words."""

from __future__ import annotations

import os
import subprocess
import sys

from ddp_magic import agent
from ddp_magic.rundir import RunDir


def test_an_agent_that_fails_says_why_and_leaves_with_an_error(tmp_path):
    run = RunDir.create(tmp_path / "run-1")
    command = [sys.executable, agent.__file__, str(run.path), str(os.getpid())]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as made:
        assert made.stdout
        told = made.stdout.read()
        code = made.wait()

    assert told.splitlines()[0] == "Traceback (most recent call last):"
    assert told.endswith(f"No such file or directory: '{run.spec}'\n")
    assert code == 1
