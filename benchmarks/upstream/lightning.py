"""Run notebooks/lightning.ipynb as Lightning's documentation says for notebooks: ddp_notebook.

    python benchmarks/upstream/lightning.py notebooks/lightning.ipynb [--first "CODE"]

The cells run in an IPython kernel as they are, without magics, and with the two arguments that
upstream asks for. Prints one line of JSON: {"told": ...}, or {"error": "..."} with the last line of
the traceback. --first is a cell that runs before the training, as when somebody has tried something
out: "torch.set_num_threads(2); torch.rand(999, 999) @ torch.rand(999, 999)".
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from cells import run, training

_LONGEST = 180
_DEVICES = re.compile(r"^(\s*)devices=.*$", re.MULTILINE)
_AS_UPSTREAM_SAYS = r'\1devices=2, strategy="ddp_notebook",'
_TOLD = "import json; print('told', json.dumps(told))"


def cells(path: Path, first: str) -> list[str]:
    """Return the notebook's cells for upstream's launcher."""
    before, body = training(path)
    edited, count = _DEVICES.subn(_AS_UPSTREAM_SAYS, body)
    assert count == 1, "the training has a line that says how many devices"
    return [*before, *filter(None, [first]), edited, _TOLD]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--first", default="")
    asked = parser.parse_args()
    print(json.dumps(outcome(cells(asked.notebook, asked.first))))


def outcome(sources: list[str]) -> dict[str, object]:
    """Run them in a kernel; return what happened."""
    shown, trace = run(sources, _LONGEST)
    if trace:
        return {"error": trace[-1]}
    told = [line for line in shown.splitlines() if line.startswith("told ")]
    return {"told": json.loads(told[-1].removeprefix("told "))}


if __name__ == "__main__":
    main()
