"""Run notebooks/pytorch.ipynb by what PyTorch users have without torchrun.

    python benchmarks/upstream/pytorch.py notebooks/pytorch.ipynb [--launcher spawn|accelerate]

PyTorch has no launcher for notebooks. Its tutorials take torch.multiprocessing.spawn (the default
here); accelerate's notebook_launcher forks the kernel. Both want a function, so the training cell
becomes one, and rank 0 leaves `told` in a file, since neither launcher brings anything back. The
cells run in an IPython kernel. Prints one line of JSON: {"told": ...}, or {"error": "..."} with the
last line of what the user sees.
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory

from cells import run, training

_LONGEST = 180
_ERROR = re.compile(r"\w+(Error|Exception): ")
_FUNCTION = """
import json, os

def training(rank=None):
    if rank is not None:
        os.environ.update(RANK=str(rank), WORLD_SIZE="2")
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29511")
{body}
    if dist.get_rank() == 0:
        Path({told!r}).write_text(json.dumps(told))
"""
_LAUNCHERS = {
    "spawn": "torch.multiprocessing.spawn(training, nprocs=2)",
    "accelerate": "from accelerate import notebook_launcher\n"
    'notebook_launcher(training, num_processes=2, use_port="29512")',
}


def cells(path: Path, launcher: str, told: Path) -> list[str]:
    """Return the notebook's cells for a launcher."""
    before, body = training(path)
    function = _FUNCTION.format(body=textwrap.indent(body, "    "), told=str(told))
    return [*before, function, _LAUNCHERS[launcher]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--launcher", choices=_LAUNCHERS, default="spawn")
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        print(json.dumps(outcome(cells(asked.notebook, asked.launcher, told), told)))


def outcome(sources: list[str], told: Path) -> dict[str, object]:
    """Run them in a kernel; return what happened."""
    shown, trace = run(sources, _LONGEST, str(told.parent))
    if trace:
        errors = [line for line in [*trace, *shown.splitlines()] if _ERROR.match(line)]
        return {"error": (errors or trace)[-1]}
    return {"told": json.loads(told.read_text())}


if __name__ == "__main__":
    main()
