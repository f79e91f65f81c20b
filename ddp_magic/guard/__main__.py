"""The guard: started by the kernel, starts the agent, outlives both for as long as needed.

``python -I guard/__main__.py RUN_DIR``. Reads one-letter commands on stdin: A a run has adopted
this standby, I interrupt, L one second longer until what was interrupted is killed, K kill,
S stacks, X leave when done. End-of-file there means that the kernel is gone. A byte on stdout says
that there is news in `events.jsonl`.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from os.path import dirname

    sys.path.append(dirname(dirname(dirname(__file__))))

    from pathlib import Path

    from ddp_magic.guard.watch import Guard
    from ddp_magic.rundir import RunDir

    Guard(RunDir(Path(sys.argv[1]))).main()
