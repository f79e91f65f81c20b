"""The same notebook by %%ddp, by hand under torchrun, alone, and by its library's own launcher.

    python benchmarks/frameworks.py [pytorch huggingface accelerate lightning ultralytics]

Each notebook's training cell leaves `told`: the final loss, and a digest of the trained parameters
for each rank. By hand means what people do without us: the cells up to that one in a file, without
magics. The launcher of each library is in ``upstream/``: what its documentation says for notebooks.
Needs the overlays that ``tests/run`` installs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from setting import ROOT, describe, table

NAMES = ("pytorch", "huggingface", "accelerate", "lightning", "ultralytics")
TRAINERS = (Path(sys.prefix, "frameworks"),)
PLACES = {
    "huggingface": TRAINERS,
    "accelerate": TRAINERS,
    "lightning": TRAINERS,
    "ultralytics": (
        ROOT / "tests" / "vision",
        Path(sys.prefix, "ultralytics-8.4.190"),
        Path(sys.prefix, "vision"),
    ),
}
TELL = """
import json as _json, os as _os
if _os.environ.get("RANK", "0") == "0":
    with open("{told}", "w") as _file:
        _json.dump({{"loss": float(told["loss"]), "parameters": list(told["parameters"])}}, _file)
"""
OVERRIDE = re.compile(r"(?<=\s)[A-Za-z_][\w.]*=\S+")
HEADS = ("notebook", "way", "s", "loss", "ranks hold", "files", "remark")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What one way came to.

    Attributes:
        seconds: From nothing to the end, with all imports.
        told: What the training cell left, or nothing.
        files: What was written, by path, with digits and dates as ``#``.
        remark: The last line of an error.
    """

    seconds: float
    told: dict[str, Any]
    files: set[str]
    remark: str = ""


def environment(name: str) -> dict[str, str]:
    """Return what all ways get: the notebook's libraries, no GPU, one thread for each worker."""
    places = [*PLACES.get(name, ()), ROOT]
    if missing := [str(place) for place in places if not place.exists()]:
        raise SystemExit(f"tests/run installs what this needs: there is no {missing[0]}")
    kept = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    return kept | {
        "PYTHONPATH": os.pathsep.join(map(str, places)),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "YOLO_OFFLINE": "1",
        "YOLO_AUTOINSTALL": "false",
    }


def cells(name: str) -> tuple[list[str], str]:
    """Return the notebook's code cells up to the one that trains, and that one."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    before: list[str] = []
    for cell in (each for each in notebook.cells if each.cell_type == "code"):
        if cell.source.lstrip().startswith("%%ddp") and "told" in cell.source:
            return before, cell.source
        before.append(cell.source)
    raise SystemExit(f"{name}.ipynb has no %%ddp cell that leaves `told`")


def by_ddp(name: str, place: Path) -> Trained:
    """Run the notebook's cells in a kernel."""
    before, training = cells(name)
    line, _, body = training.partition("\n")
    sources = [*before, f"{OVERRIDE.sub('', line)}\n{body}", TELL.format(told="told.json")]
    notebook = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, sources)])
    os.environ.update(environment(name))
    began, remark = time.monotonic(), ""
    try:
        NotebookClient(
            notebook, timeout=600, resources={"metadata": {"path": str(place)}}
        ).execute()
    except CellExecutionError as error:
        remark = f"{error.ename}: {error.evalue}"
    return trained(began, place, remark)


def by_hand(name: str, place: Path, ranks: int = 2) -> Trained:
    """Run the same cells as a script under torchrun."""
    if name == "ultralytics":  # which several ranks on the CPU need help of
        return by_upstream(name, place, f"--torchrun={ranks}")
    before, training = cells(name)
    sources = [*before, training.partition("\n")[2], TELL.format(told="told.json")]
    lines = [line for source in sources for line in source.splitlines() if line[:1] not in "%!"]
    (place / "by_hand.py").write_text("\n".join(lines))
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    return finished(name, place, [sys.executable, *launcher, "by_hand.py"])


def by_upstream(name: str, place: Path, *options: str) -> Trained:
    """Run the library's own launcher for notebooks, which prints what came of it."""
    program = ROOT / "benchmarks" / "upstream" / f"{name}.py"
    notebook = ROOT / "notebooks" / f"{name}.ipynb"
    return finished(name, place, [sys.executable, str(program), str(notebook), *options])


def finished(name: str, place: Path, command: list[str]) -> Trained:
    """Run a command to its end; return what it left or printed."""
    began = time.monotonic()
    ended = subprocess.run(
        command, cwd=place, env=environment(name), capture_output=True, text=True, check=False
    )
    printed = [line for line in ended.stdout.splitlines() if line.startswith('{"')]
    said = json.loads(printed[-1]) if printed else {}
    if said.get("told"):
        (place / "told.json").write_text(json.dumps(said["told"]))
    last = (ended.stderr.strip().splitlines() or [""])[-1]
    return trained(began, place, said.get("error") or (last if ended.returncode else ""))


def trained(began: float, place: Path, remark: str) -> Trained:
    """Gather what a way has left in its place."""
    seconds = time.monotonic() - began
    told = place / "told.json"
    files = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    return Trained(
        seconds=seconds,
        told=json.loads(told.read_bytes()) if told.exists() else {},
        files={re.sub(r"\d+", "#", each) for each in files - {"told.json", "by_hand.py"}},
        remark=remark,
    )


def row(name: str, way: str, got: Trained, reference: Trained) -> tuple[str, ...]:
    """Return a line of the table; it is compared with what torchrun left."""
    loss, held = got.told.get("loss"), got.told.get("parameters", [])
    expected = reference.told.get("loss")
    same = "" if got is reference or loss is None else " =" if loss == expected else " !="
    models = f"{len(set(held))} of {len(held)}" if held else "-"
    files = f"{len(got.files)}" + ("" if got.files == reference.files else " !=")
    figure = "-" if loss is None else f"{loss:.6f}{same}"
    return (name, way, f"{got.seconds:.1f}", figure, models, files, got.remark[:100])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES)
    asked = parser.parse_args()
    describe()
    rows = [HEADS]
    ways = {
        "torchrun": by_hand,
        "%%ddp": by_ddp,
        "one process": lambda name, place: by_hand(name, place, ranks=1),
        "its own launcher": by_upstream,
    }
    for name in asked.names:
        got: dict[str, Trained] = {}
        for way, run in ways.items():
            with tempfile.TemporaryDirectory(prefix="trained-") as place:
                got[way] = run(name, Path(place))
            rows.append(row(name, way, got[way], got["torchrun"]))
    table(rows)
    print("loss and files: = and != are beside those of torchrun; ranks hold: different models")


if __name__ == "__main__":
    main()
