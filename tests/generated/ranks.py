"""Fresh workers for generated notebooks; runs as ``python -m tests.generated.ranks``.

It imports what a worker imports and never sees a notebook. Each line of its input is a run's
directory; it forks once per line, the fork runs the program, and what it printed and raised lies in
that directory then.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from pathlib import Path

from ddp_magic.rundir import RunDir
from ddp_magic.worker.program import Program

__all__ = ["become_rank"]

_SECONDS = 20


def main() -> None:
    gc.freeze()  # a look for garbage in a fork would copy every page that it sees
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            become_rank(Path(line.strip()))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become_rank(folder: Path) -> None:
    """Run the program of a run in this process, and end it."""
    signal.alarm(_SECONDS)
    told = {"stage": "values", "error": None}
    with open(folder / "told.txt", "w", encoding="utf-8") as out:
        sys.stdout = out
        try:
            program = Program(RunDir(folder))
            program.define()
            told["stage"] = "body"
            program.body()
        except BaseException as error:
            told["error"] = [type(error).__name__, str(error), _trail(error)]
    (folder / "told.json").write_text(json.JSONEncoder().encode(told), "utf-8")
    os._exit(0)


def _trail(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error)[-12:])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        become_rank(Path(sys.argv.pop()))
    main()
