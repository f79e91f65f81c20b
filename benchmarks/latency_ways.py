"""The ways that `latency.py` compares, each used as its own documentation says.

Every way runs the same: a process group, one all_reduce, and when that was done in rank 0. Ways
whose workers stay make the group once: that is their point, and so is that they keep what earlier
cells left. "start" means from nothing to the first all_reduce, in a new kernel each time.

nbdistributed can lose the first cell after ``%dist_init``, which then waits 30 s in vain: "start"
has it sent again, as a user would, in the time that is shown.

Its ``%dist_shutdown`` and ``%dist_reset`` end processes by pattern, other people's too:
they are never called, and its workers die with the kernel's sweep. It listens on all interfaces
without a key, so leave it out (``--only``) where others share the network.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import textwrap
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

__all__ = ["BODY", "IMPORTS", "WAYS", "Way", "default_place", "installed"]

IMPORTS = "import os, time, torch, torch.distributed as dist"
BODY = """
import time
moments = [time.time()]
import torch, torch.distributed as dist
moments.append(time.time())
dist.init_process_group("gloo")
moments.append(time.time())
dist.all_reduce(torch.ones(1))
moments.append(time.time())
if dist.get_rank() == 0: print(f"FIRST {moments[-1]:.6f}")
dist.destroy_process_group()
"""
_REDUCE = """
import time
dist.all_reduce(torch.ones(1))
if dist.get_rank() == 0: print(f"FIRST {time.time():.6f}")
"""
_ACCELERATE = f"""
def train():
{textwrap.indent(BODY, "    ")}
notebook_launcher(train, num_processes=2)
"""
_TORCHRUNX = """
def train():
    import time, torch, torch.distributed as dist
    dist.all_reduce(torch.ones(1))
    return time.time()
results = torchrunx.Launcher(workers_per_host=2, backend="gloo").run(train)
print(f"FIRST {results.rank(0):.6f}")
"""
_CLUSTER = """
import ipyparallel, socket
rc = ipyparallel.Cluster(n=2).start_and_connect_sync(activate=True)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
rc[:].scatter("rank", rc.ids, flatten=True, block=True)
rc[:].push({"port": port}, block=True)
"""
_JOIN = f"""%%px
{IMPORTS}
dist.init_process_group("gloo", f"tcp://127.0.0.1:{{port}}", rank=rank, world_size=2)
"""
_DIST_INIT = "%load_ext nbdistributed\n%dist_init -n 2"
_WRITE = f"from pathlib import Path\nPath('body.py').write_text({BODY!r})"


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to run a cell on two workers.

    Attributes:
        name: The table's first column.
        key: What --only calls it.
        package: What it needs in the peers' environment; empty for ours and torchrun.
        before: Cells that run once in its kernel, not timed.
        cells: The timed cells, one sent as soon as the other is done.
        anew: Whether each repetition gets a kernel of its own; else one run comes before, untimed.
        back: How rank 0's value is in the notebook afterwards.
    """

    name: str
    key: str
    package: str = ""
    before: tuple[str, ...] = ()
    cells: tuple[str, ...]
    anew: bool = False
    back: str

    @property
    def ours(self) -> bool:
        """Whether it is %%ddp."""
        return self.key in {"warm", "cold"}


def _ddp(key: str, flags: str) -> Way:
    return Way(
        name=f"%%ddp, {key}",
        key=key,
        before=("%load_ext ddp_magic",),
        cells=(f"%%ddp --nproc 2{flags} -o moments\n{BODY}",),
        back="-o",
    )


WAYS = (
    _ddp("warm", ""),
    _ddp("cold", " --cold"),
    Way(
        name="!torchrun of a file that is there",
        key="torchrun",
        before=(_WRITE,),
        cells=("!torchrun --standalone --nproc-per-node 2 body.py",),
        back="printed",
    ),
    Way(
        name="accelerate notebook_launcher",
        key="accelerate",
        package="accelerate",
        before=("from accelerate import notebook_launcher",),
        cells=(_ACCELERATE,),
        back="printed",
    ),
    Way(
        name="torchrunx",
        key="torchrunx",
        package="torchrunx",
        before=("import logging, torchrunx\nlogging.basicConfig(level=logging.INFO)",),
        cells=(_TORCHRUNX,),
        back="returned",
    ),
    Way(
        name="nbdistributed, start",
        key="nbdistributed",
        package="nbdistributed",
        cells=(_DIST_INIT, _REDUCE),
        anew=True,
        back="printed",
    ),
    Way(
        name="nbdistributed, workers there",
        key="nbdistributed",
        package="nbdistributed",
        before=(_DIST_INIT,),
        cells=(_REDUCE,),
        back="printed",
    ),
    Way(
        name="ipyparallel, start",
        key="ipyparallel",
        package="ipyparallel",
        cells=(_CLUSTER, f"{_JOIN}{_REDUCE}"),
        anew=True,
        back="printed",
    ),
    Way(
        name="ipyparallel %%px, engines there",
        key="ipyparallel",
        package="ipyparallel",
        before=(_CLUSTER, _JOIN),
        cells=(f"%%px\n{_REDUCE}",),
        back="printed",
    ),
)


def default_place() -> Path:
    """Return where the peers live if not told: a directory of the user's caches."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    torch = version("torch").partition("+")[0]
    return caches / f"ddp_magic-peers-{sysconfig.get_python_version()}-torch-{torch}"


def installed(place: Path, packages: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Make the peers' environment where it lacks something.

    It has the same torch as ours, so that this difference is none.

    Returns:
        The packages' versions, and why packages are not there.
    """
    python = place / "bin" / "python"
    if not python.exists():
        print(f"making the peers' environment in {place}")
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    torch = f"torch=={version('torch').partition('+')[0]}"
    (place / "constraints.txt").write_text(f"{torch}\n")
    versions = _versions(python)
    reasons: dict[str, str] = {}
    for package in [torch, "ipykernel", "matplotlib", *packages]:
        name = package.partition("==")[0]
        if name not in versions and (why := _install(place, package)):
            reasons[name] = why
    return _versions(python), reasons


def _install(place: Path, package: str) -> str:
    """Install a package below the constraints; return why that failed, or nothing."""
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "-q"]
    done = subprocess.run(
        [*pip, "-c", str(place / "constraints.txt"), package],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "ERROR" in line]
    return (said or ["pip failed"])[-1] if done.returncode else ""


def _versions(python: Path) -> dict[str, str]:
    code = (
        "import json, importlib.metadata as m\n"
        "print(json.dumps({d.name: d.version for d in m.distributions()}))"
    )
    with contextlib.suppress(OSError, ValueError):
        done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)
    return {}
