"""Ultralytics in a rank, from 8.3 on: each hook gets a module of it; runs in every worker.

Its own launcher starts ranks that know what its parent has settled. Ours begin where a program
under torchrun begins, and some things must be settled here. What Ultralytics renames in later
releases is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.worker.frameworks.ultralytics import cpu

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["settle", "train", "validate"]


def train(module: ModuleType) -> None:
    """Have the trainers of ``ultralytics.engine.trainer`` train in our ranks."""
    cpu.train(module)


def validate(module: ModuleType) -> None:
    """Have the validators of ``ultralytics.engine.validator`` validate in our ranks."""
    cpu.validate(module)


def settle(module: ModuleType) -> None:
    """Let ``save_dir`` be a setting: releases up to 8.4.6 drop one that their table lacks."""
    for table in (module.DEFAULT_CFG_DICT, vars(module.DEFAULT_CFG)):
        table.setdefault("save_dir", None)
