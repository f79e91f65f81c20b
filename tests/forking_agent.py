"""The agent whose launcher is `tests.fork_server`, which has imported torch already.

``python forking_agent.py RUN_DIR GUARD_PID``, as the guard starts `ddp_magic.agent`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]
    sys.path.append(str(Path(__file__).parent.parent))

from ddp_magic import agent
from ddp_magic.rundir import RunDir


def launch(run: RunDir, spec: dict[str, Any]) -> int:
    """Have the server launch the workers; hand on the signals that we get."""
    del spec  # which it reads itself
    server = socket.socket(socket.AF_UNIX)
    server.connect(os.environ["TESTS_FORK_SERVER"])
    told = {
        "run": str(run.path), "environ": dict(os.environ), "cwd": os.getcwd(), "path": sys.path,
    }  # fmt: skip
    socket.send_fds(server, [json.dumps(told).encode()], [0, 1, 2])
    answers = server.makefile()
    pid = int(answers.readline())

    def hand_on(number: int, _: object = None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, hand_on)
    return int(answers.read() or 1)


if __name__ == "__main__":
    agent._launch = launch
    sys.exit(agent.main(RunDir(Path(sys.argv[1])), int(sys.argv[2])))
