"""Ultralytics' trainers in the body of a %%ddp cell: all from cells, two ranks, real files."""

from __future__ import annotations

import pytest

from tests import ultralytics_kernel as installed
from tests.ultralytics_kernel import SMALL, VERSIONS, detection, photographs, ultralytics_kernel

pytestmark = [pytest.mark.workers, pytest.mark.timeout(400)]


@pytest.fixture(scope="module", params=VERSIONS)
def kernel(request, tmp_path_factory):
    """A kernel with data sets, in which `place` is a directory of its own."""
    place = tmp_path_factory.mktemp("ultralytics")
    detection(place / "detect")
    photographs(place / "classify")
    with ultralytics_kernel(request.param, place, DDP_MAGIC_STANDBY="0") as made:
        made.place = place
        done(made, f"from pathlib import Path\nplace = Path({str(place)!r})", "%load_ext ddp_magic")
        yield made


def done(kernel, *cells: str) -> str:
    """Run cells, which succeed; return all that they showed."""
    shown = ""
    for cell in cells:
        status, told = kernel.run(cell.strip("\n"))
        shown += told
        assert status == "ok", shown
    return shown


DEFINITIONS = """
import ultralytics
from ultralytics import YOLO
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils import RANK
class MyTrainer(DetectionTrainer):
    def train(self):
        print("train in", RANK)
        return super().train()
"""
BODY = f"""
%%ddp -n 2 --rank all -o ranks
model = YOLO("yolov8n.yaml")
result = model.train(trainer=MyTrainer, data=str(place / "detect" / "data.yaml"), epochs=1, {SMALL},
                     project=str(place / "runs"), name="first")
ranks = [None, None]
import torch.distributed as dist
dist.all_gather_object(ranks, (RANK, str(model.trainer.save_dir), result is None))
"""


def test_a_trainer_from_a_cell_trains_in_two_ranks(kernel):
    shown = done(
        kernel,
        DEFINITIONS,
        BODY,
        "RANK, ranks == [(0, str(place / 'runs' / 'first'), "
        "False), (1, str(place / 'runs' / 'first'), True)]",
    )

    assert "train in 0" in shown
    assert "train in 1" in shown
    assert "(-1, True)" in shown


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail), ("", pytest.skip)])
def test_a_release_that_is_missing_fails_in_ci_and_skips_elsewhere(ci, outcome, monkeypatch):
    monkeypatch.setenv("CI", ci)

    with pytest.raises(outcome.Exception, match=r"bash tests/run installs Ultralytics 1\.0"):
        installed.python_path("1.0")
