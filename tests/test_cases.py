"""Collection cases through the real magic: a notebook, a body, and what a real shell printed.

`data/cases_basic.json` holds the expectations, recorded from one in-process IPython shell. A probe
cell that nothing needs stands behind the cells: it must not run again.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.workers,
    # cells leave files open, as people's do
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CASES = json.loads((Path(__file__).parent / "data" / "cases_basic.json").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_case_means_in_the_rank_what_it_means_in_the_notebook(
    case, notebook, monkeypatch, tmp_path, nothing_left
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("NO_COLOR", "1")
    for name, value in case.get("env", {}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    for cell in case["cells"]:
        source, raises = (
            (cell, None) if isinstance(cell, str) else (cell["src"], cell.get("raises"))
        )
        error = notebook.run_raw(source).error
        assert (type(error).__name__ if error else None) == raises
    probe = tmp_path / "probe"
    notebook.run_raw(f"_probe = open({str(probe)!r}, 'a'); _probe.write('x'); _probe.close()")
    largest = Largest(nothing_left) if "max_artifact_bytes" in case else None

    shown = notebook.run_raw("%%ddp --nproc 1\n" + case["body"])

    if case["expect"]["kind"] == "stdout":
        assert shown.error is None, shown.told
        assert normal(shown.out) == normal(case["reference"]["stdout"])
    else:
        assert all(word in shown.told for word in case["expect"]["must_mention"]), shown.told
    assert probe.read_text() == "x"
    if largest is not None:
        assert largest.stop() <= case["max_artifact_bytes"]


def normal(text: str) -> str:
    """Drop what a terminal does not show, and the shell's Out line."""
    lines = [line.rstrip() for line in text.split("\n") if not line.startswith("Out[")]
    return "\n".join(lines).rstrip("\n")


class Largest(threading.Thread):
    """Watches how large everything below a directory gets."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self._root = root
        self._over = threading.Event()
        self._most = 0
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.01):
            sizes: list[int] = []
            for folder, _, names in os.walk(self._root):
                sizes += [size for name in names if (size := _size(Path(folder, name)))]
            self._most = max(self._most, sum(sizes))

    def stop(self) -> int:
        """Return the most bytes that were there at once."""
        self._over.set()
        self.join()
        return self._most


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
