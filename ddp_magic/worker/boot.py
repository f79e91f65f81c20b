"""The worker's first file: the agent starts ``python boot.py RUN_DIR``, then `rank` takes over.

It runs as a script by its path and not by ``-m``, so that nothing but the interpreter's own modules
is imported before the worker is safe: dying with its agent.
"""

from __future__ import annotations

import os
import signal
import sys


def _leave(*_: object) -> None:
    os._exit(130)


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # this file's own directory, whose names would hide others
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

    # Until the user's program runs an interrupt has nothing to say, least of all in our own lines.
    signal.signal(signal.SIGINT, _leave)

    from ddp_magic.worker import lifeline

    _lifeline = lifeline.arm(int(os.environ.pop("DDP_MAGIC_AGENT")))

    from pathlib import Path

    from ddp_magic.rundir import RunDir
    from ddp_magic.worker.rank import Rank

    Rank(RunDir(Path(sys.argv[1])), _lifeline).main()
