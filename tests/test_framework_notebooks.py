"""The notebooks of training libraries run as they are, each with its library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.framework_notebooks import FRAMEWORKS, NOTEBOOKS
from tests.overlays import overlay

pytestmark = [pytest.mark.kernel, pytest.mark.workers]


@pytest.mark.parametrize("name", [name for name, beside in FRAMEWORKS.items() if beside])
def test_a_notebook_of_a_training_library_runs_as_it_is(name: str, tmp_path: Path):
    """In a folder of its own, since it writes checkpoints beside itself; it asserts by itself."""
    shutil.copy(NOTEBOOKS / name, tmp_path)
    jupyter = str(Path(sys.executable).with_name("jupyter"))
    added = {"PYTHONPATH": overlay(FRAMEWORKS[name]), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [jupyter, "execute", "--output", str(tmp_path / "out.ipynb"), str(tmp_path / name)],
        env=os.environ | added, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    notebook = nbformat.read(tmp_path / "out.ipynb", 4)
    nbformat.validate(notebook)
    shown = [o for c in notebook.cells if c.source.startswith("%%ddp") for o in c.outputs]

    told = "".join(o.get("text", "") for o in shown)
    assert "succeeded" in told
    assert "%%ddp does not know" not in told, "all that we patch in this release is there"
