"""``python -m tests.likeness [--ordinary] torch nothing``: what cold and warm workers find.

Runs one cell in workers that were started for it and in workers that had waited. ``--ordinary``
gives up root's powers first: they hide what an ordinary user cannot take back, such as nice.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

CELL = """\
%%ddp --nproc 1 {options}
{first}
import asyncio, faulthandler, gc, locale, logging, os, random, re, resource, signal, sys
import tempfile, threading, warnings
import __main__

def links(folder):
    found = {{}}
    for name in sorted(os.listdir(folder), key=int):
        try:
            found[name] = re.sub(r"[0-9]+", "N", os.readlink(f"{{folder}}/{{name}}"))
        except OSError:
            pass  # the directory's own
    return found

def status(*names):
    lines = open("/proc/self/status").read().splitlines()
    return [line for line in lines if line.startswith(names)]

def loggers():
    known = logging.root.manager.loggerDict.items()
    known = {{n: l for n, l in known if isinstance(l, logging.Logger)}}
    return {{n: (l.level, len(l.handlers), l.propagate) for n, l in sorted(known.items())
            if l.level or l.handlers or not l.propagate}}

told = {{
    "environment": {{n: re.sub(r"[0-9]+", "N", v) for n, v in sorted(os.environ.items())}},
    "directory": os.getcwd(),
    "path": sys.path,
    "argv": sys.argv,
    "status": status("Umask", "SigB", "SigI", "SigC", "SigP", "Shd", "Cap", "Groups",
                     "NoNewPrivs", "Seccomp", "Threads"),
    "handlers": {{str(s): str(signal.getsignal(s)).split(" at ")[0].split(" object")[0]
                 for s in sorted(signal.valid_signals())}},
    "descriptors": links("/proc/self/fd"),
    "limits": [resource.getrlimit(getattr(resource, n)) for n in sorted(dir(resource))
               if "RLIMIT" in n],
    "scheduling": (os.getpriority(0, 0), os.sched_getscheduler(0), sorted(os.sched_getaffinity(0))),
    "autogroup": open("/proc/self/cgroup").read(),
    "oom": open("/proc/self/oom_score_adj").read(),
    "name": open("/proc/self/comm").read(),
    "command": re.sub(r"run-[0-9]+", "run-N", open("/proc/self/cmdline").read()),
    "session": (os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()),
    "threads": sorted(t.name for t in threading.enumerate()),
    "hash": hash("a"),
    "seeded": [random.random() < 2, sys.flags.hash_randomization],
    "filters": [str(f) for f in warnings.filters],
    "logging": (logging.root.level, len(logging.root.handlers), logging.root.manager.disable),
    "loggers": loggers(),
    "main": sorted(vars(__main__)) + [str(__main__.__spec__), os.path.basename(__main__.__file__)],
    "streams": [(s.name, s.encoding, s.errors, s.line_buffering) for s in
                (sys.stdin, sys.stdout, sys.stderr)],
    "hooks": [str(h).split(" at ")[0] for h in (sys.excepthook, sys.displayhook, sys.unraisablehook,
              threading.excepthook, sys.breakpointhook)],
    "importing": [str(f).split(" at ")[0] for f in (*sys.meta_path, *sys.path_hooks)],
    "flags": str(sys.flags),
    "gc": (gc.isenabled(), gc.get_threshold(), gc.get_debug()),
    "interpreter": (sys.getrecursionlimit(), sys.getswitchinterval(), sys.gettrace() is None,
                    sys.getprofile() is None, sys.dont_write_bytecode, locale.setlocale(0),
                    tempfile.tempdir, faulthandler.is_enabled(), asyncio._get_running_loop()),
    {more}
}}
told
"""
TORCH = """\
    "torch": (torch.get_num_threads(), torch.get_num_interop_threads(), torch.is_grad_enabled(),
              str(torch.get_default_dtype()), torch.cuda.is_initialized(),
              torch.distributed.is_initialized(), torch.are_deterministic_algorithms_enabled(),
              torch.get_float32_matmul_precision(), torch.initial_seed() > 0),
"""
CELLS = {"torch": ("import torch, numpy", TORCH), "nothing": ("", "")}
_PR_CAPBSET_DROP = 24
_CAPABILITIES = 41


def main() -> None:
    """Run the cells that the command line names, both ways."""
    if "--ordinary" in sys.argv and "--dropped" not in sys.argv:
        for number in range(_CAPABILITIES):
            ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
        # what a process may do is worked out anew when it starts a program
        os.execv(
            sys.executable, [sys.executable, "-m", "tests.likeness", *sys.argv[1:], "--dropped"]
        )
    from IPython.core.interactiveshell import InteractiveShell

    from ddp_magic.standby import keeper as keeping
    from tests.notebook import until
    from tests.standby import PATIENCE, keeper_of, no_more

    shell = InteractiveShell.instance()
    keeping._HESITATION = 0  # at once all that may ever be imported ahead
    shell.run_line_magic("load_ext", "ddp_magic")
    shell.run_line_magic("ddp_config", "standby_workers=1")
    keeper = keeper_of(shell)
    told: dict[str, Any] = {"powers": _powers()}

    def run(name: str, way: str) -> None:
        first, more = CELLS[name]
        options = "--cold" if way == "cold" else ""
        cell = CELL.format(first=first, more=more, options=options)
        told[f"{name} {way}"] = shell.run_cell(cell).result
        told[f"{name} {way} why"] = keeper.why_cold

    names = [name for name in CELLS if name in sys.argv]
    for name in names:
        until(keeper.ready, PATIENCE)
        if name == names[-1]:
            no_more(keeper)
        run(name, "warm")
    for name in names:
        run(name, "cold")
    print("\n" + json.dumps(told))
    shell.run_line_magic("unload_ext", "ddp_magic")


def _powers() -> str:
    return Path("/proc/self/status").read_text().split("CapEff:")[1].split()[0]


if __name__ == "__main__":
    main()
