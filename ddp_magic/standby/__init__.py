"""Runs in the kernel: a worker group that waits, so that a run need not start one."""

from ddp_magic.standby.group import Standby
from ddp_magic.standby.keeper import Keeper

__all__ = ["Keeper", "Standby"]
