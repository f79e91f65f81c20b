"""The private names of cloudpickle that we build on hold in its lowest and its newest version."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import cloudpickle
import pytest

ROOT = Path(__file__).parent.parent
CHECKED = ["tests/test_pickling.py", "-k", "not scheduler"]  # which is torch's, and slow


def bounds() -> tuple[str, str]:
    """Return the lowest allowed version, and the first that is not allowed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = next(d for d in project["dependencies"] if d.startswith("cloudpickle"))
    found = re.fullmatch(r"cloudpickle>=([\d.]+),<([\d.]+)", wanted)
    assert found is not None, wanted
    return found[1], found[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("which", ["lowest", "newest"])
def test_pickling_holds_with_cloudpickle(which, tmp_path):
    place = Path(sys.prefix, f"cloudpickle-{which}")
    if not place.exists() and not os.environ.get("CI"):
        pytest.skip(f"bash tests/run installs cloudpickle's {which} version into {place.name}")
    env = {**os.environ, "PYTHONPATH": str(place)}
    ask = [sys.executable, "-c", "import cloudpickle as c; print(c.__version__, c.__file__)"]
    version, file = subprocess.check_output(ask, env=env, text=True).split()
    lowest, above = bounds()
    if version == cloudpickle.__version__ and Path(file).is_relative_to(place):
        pytest.skip(f"{version} is what the other tests run with")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *CHECKED],
        capture_output=True, text=True, env=env, cwd=ROOT, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert Path(file).is_relative_to(place)
    if which == "lowest":
        assert version.startswith(lowest)
    assert tuple(map(int, version.split("."))) < tuple(map(int, above.split(".")))
