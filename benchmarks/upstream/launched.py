"""Runs a notebook's cells in an IPython kernel, its training through a library's own launcher.

What runs in the %%ddp cell becomes a function, as the libraries' documentation asks for; it runs
in the notebook's namespace, so that not even a line of it has to be changed, and writes `told` to a
file, since nothing else comes back. One JSON line says what happened.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from cells import run, training

__all__ = ["main"]

_LONGEST = 300
_TRAINING = """
def training():
    exec(compile({body!r}, "training cell", "exec"), globals())
    import json, os
    if os.environ.get("RANK", "0") == "0":
        with open({told!r}, "w") as file:
            json.dump(told, file)
"""


def main(launch: str) -> None:
    """Run the notebook that the command line names; `launch` is a cell that calls `training`."""
    before, body = training(Path(sys.argv[1]))
    with TemporaryDirectory() as folder:
        told = Path(folder, "told.json")
        function = _TRAINING.format(body=body, told=str(told))
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        _, trace = run([*before, function, launch], _LONGEST, folder, environment)
        found = {"told": json.loads(told.read_text())} if told.exists() else {}
    print(json.dumps({"error": trace[-1]} if trace else found or {"error": "told nothing"}))
