"""Fresh processes for collected cases; runs as ``python -m tests.case_ranks [MODULE...]``.

It imports what a worker imports, and no notebook, and forks once per line of its input: each fork
is as fresh as a new interpreter, without the second that ``import torch`` takes.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import sys
import threading
import traceback
from pathlib import Path

from ddp_magic.rundir import RunDir
from ddp_magic.worker.program import Program
from tests.case_streams import end_of, into, renew

_SECONDS = 60


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become_rank(job)
        print(json.dumps(end_of(pid, _SECONDS)), flush=True)


def _become_rank(job: dict[str, str]) -> None:
    code = 1
    try:
        os.setsid()
        os.environ.clear()
        os.environ.update(job["env"])
        os.chdir(job["cwd"])
        into(Path(job["out"]), Path(job["err"]))
        renew()
        sys.path[0] = ""
        program = Program(RunDir(Path(job["run"])))
        program.define()
        program.body()
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
