"""Fresh processes for what was collected; runs as ``python -m tests.case_ranks [MODULE...]``.

It imports what a worker imports, and no notebook, and forks once per line of its input: each fork
is as fresh as a new interpreter, without the second that ``import torch`` takes. `Ranks` is the
client.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from ddp_magic import pickling
from ddp_magic.rundir import RunDir
from ddp_magic.worker.program import NO_VALUE, Program
from tests.case_streams import end_of, into, renew

__all__ = ["Ranks"]

_ROOT = Path(__file__).parent.parent
_SECONDS = 60


class Ranks:
    """The process that forks ranks; it starts with the first of them."""

    def __init__(self, *modules: str) -> None:
        self._modules = modules
        self._process: subprocess.Popen[str] | None = None

    def run(self, job: dict[str, Any]) -> int:
        """Run a job to its end: in ``run``, ``cwd`` and ``env``, writing to ``out`` and ``err``.

        With ``value`` the body's value is in the run's results then.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.case_ranks", *self._modules],
                cwd=_ROOT,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.JSONEncoder().encode(job) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.communicate()


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    gc.freeze()  # a look for garbage in a fork would copy every page that it sees
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become_rank(job)
        print(json.dumps(end_of(pid, _SECONDS)), flush=True)


def _become_rank(job: dict[str, Any]) -> None:
    code = 1
    try:
        os.setsid()
        os.environ.clear()
        os.environ.update(job["env"])
        os.chdir(job["cwd"])
        into(Path(job["out"]), Path(job["err"]))
        renew()
        sys.path[0] = ""
        run = RunDir(Path(job["run"]))
        program = Program(run)
        program.define()
        value = program.body()
        if job.get("value") and value is not NO_VALUE:
            pickling.dump(value, run.results / "value.pkl", run, program.sender())
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
