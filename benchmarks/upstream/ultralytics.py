"""Run notebooks/ultralytics.ipynb as Ultralytics' documentation says: train(device=[0, 1]).

    python benchmarks/upstream/ultralytics.py notebooks/ultralytics.ipynb [--torchrun N]

The cells run in an IPython kernel as they are, without magics. Without two GPUs the trainer gets a
base class that has upstream's own launcher start two ranks on the CPU, over gloo; all else is its
own. --torchrun N runs them as a script under torchrun instead, which for several ranks on the CPU
needs that base class too. Prints one line of JSON: {"told": ...}, or {"error": "..."} with the last
line of the traceback, and with the last error that the ranks had printed above it.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from cells import run, training

_LONGEST = 300
_ERROR = re.compile(r"^(?:\[rank\d\]: ?)?([\w.]*(?:Error|Exception): .*)$", re.MULTILINE)
_FOLLOWING = re.compile("ChildFailedError|Connection closed by peer")
_LIST = re.compile(r"\[.*\]")
_TRAINER = "(ClassificationTrainer):"
_CALL = "trainer=ShapesTrainer,"
_ON_THE_CPU = '''
class OverGloo:
    """Has two ranks on the CPU, where a trainer knows of one."""

    def __setattr__(self, name, value):
        import os

        here = "LOCAL_RANK" in os.environ
        super().__setattr__(name, {"world_size": 2, "ddp": not here}.get(name, value))

    def _setup_ddp(self):
        import torch
        from torch.nn.parallel import DistributedDataParallel
        from ultralytics.engine import validator

        class OnTheCpu(DistributedDataParallel):
            def __init__(self, model, device_ids=None, **options):
                super().__init__(model, **options)

        load, cpu = validator.AutoBackend, torch.device("cpu")
        torch.nn.parallel.DistributedDataParallel = OnTheCpu
        torch.cuda.current_device = lambda: 0
        validator.AutoBackend = lambda *given, **named: load(*given, **{**named, "device": cpu})
        torch.distributed.init_process_group("gloo")
'''
_TOLD = "\nimport json; print('told', json.dumps(told), flush=True)"
_IN_RANK_0 = "\nif RANK in (-1, 0):\n    import json; print('told', json.dumps(told), flush=True)"


def cells(path: Path, *, alone: bool) -> list[str]:
    """Return the notebook's code cells up to the training, without magics."""
    before, body = training(path)
    on_the_cpu = f"(OverGloo, {_TRAINER[1:]}"
    return [
        _ON_THE_CPU + source.replace(_TRAINER, on_the_cpu)
        if _TRAINER in source and not alone
        else source
        for source in (*before, body)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--torchrun", type=int, default=0, metavar="N")
    asked = parser.parse_args()
    gpus = torch.cuda.device_count() > 1
    sources = cells(asked.notebook, alone=gpus or asked.torchrun == 1)
    with TemporaryDirectory() as folder:
        if asked.torchrun:
            print(json.dumps(by_hand(sources, asked.torchrun, Path(folder))))
            return
        if gpus:
            sources[-1] = sources[-1].replace(_CALL, f"{_CALL} device=[0, 1],")
        print(json.dumps(outcome(sources, folder)))


def by_hand(sources: list[str], ranks: int, folder: Path) -> dict[str, object]:
    """Run the cells as a script under torchrun."""
    script = folder / "by_hand.py"
    script.write_text("\n".join([*sources, _IN_RANK_0]))
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    done = subprocess.run(
        [sys.executable, *launcher, str(script)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return _read(done.stdout) or {"error": (_ERROR.findall(done.stderr) or [""])[0]}


def outcome(sources: list[str], folder: str) -> dict[str, object]:
    """Run the cells in a kernel; return what happened."""
    shown, trace = run([*sources, _TOLD], _LONGEST, folder)
    if trace:
        above = [e for e in _ERROR.findall(shown) if not _FOLLOWING.search(e)]
        return {"error": _LIST.sub("[...]", trace[-1]), "above": above[-1:]}
    return _read(shown)


def _read(printed: str) -> dict[str, object]:
    told = [line for line in printed.splitlines() if line.startswith("told ")]
    return {"told": json.loads(told[-1].removeprefix("told "))} if told else {}


if __name__ == "__main__":
    main()
