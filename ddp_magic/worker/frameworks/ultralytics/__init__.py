"""Ultralytics in a rank, from 8.3 on: each hook gets a module of it; runs in every worker.

Its own launcher starts ranks that know what its parent has settled. Ours begin where a program
under torchrun begins, and some things must be settled here. What later releases rename is left
alone.
"""

from __future__ import annotations

from typing import Any

from ddp_magic.worker.frameworks.company import workers
from ddp_magic.worker.frameworks.ultralytics import cpu, device, files, sweeps
from ddp_magic.worker.frameworks.ultralytics.ranks import be_alone

__all__ = ["begin", "download", "train", "validate"]


def begin(module: Any) -> None:
    """Have ``ultralytics.utils`` take a run's only worker for the one process that it is.

    Releases before 8.4.140 take whoever has a RANK for a member of a process group, and those up
    to 8.4.6 drop a ``save_dir`` because their table of settings lacks it.
    """
    for table in (module.DEFAULT_CFG_DICT, vars(module.DEFAULT_CFG)):
        table.setdefault("save_dir", None)
    if workers() == 1:
        be_alone()


def download(module: Any) -> None:
    """Have ``ultralytics.utils.downloads`` fetch a file once."""
    files.take_turns(module)


def train(module: Any) -> None:
    """Have the trainers of ``ultralytics.engine.trainer`` train in our ranks."""
    device.choose(module)
    files.agree(module)
    sweeps.refuse(module)
    cpu.train(module)


def validate(module: Any) -> None:
    """Have the validators of ``ultralytics.engine.validator`` validate in our ranks."""
    cpu.validate(module)
