"""The ranks of this run, and how Ultralytics hears of them; runs in every worker."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from ddp_magic.worker.store import PeerFailed, connect

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["be_alone", "from_rank_0", "rank"]

_PATIENCE = 1800.0
_MADE, _FAILED = "made ", "failed "
_asked: Counter[str] = Counter()


def rank() -> int:
    """Return which one of them this is."""
    return int(os.environ.get("RANK", "0"))


def be_alone() -> None:
    """Have Ultralytics' modules take this process for the only one: they ask when imported."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "ultralytics":
            known = vars(module).keys() & {"RANK", "LOCAL_RANK"}
            vars(module).update(dict.fromkeys(known, -1))


def from_rank_0(what: str, value: Callable[[], str] = str) -> str:
    """Return what rank 0 makes of it, for which the others wait; every rank must call this.

    There need be no process group yet. Waiting ends with an interrupt, or when rank 0 has failed.

    Args:
        what: What it is about: a rank may call this for something else in between.
        value: Called in rank 0.

    Raises:
        PeerFailed: It failed in rank 0, which raises its error.
        TimeoutError: Rank 0 did not call it.
    """
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    key = f"ddp_magic/ultralytics/{attempt}/{_asked[what]}/{what}"
    _asked[what] += 1
    store = connect()
    if rank() == 0:
        try:
            made = value()
        except Exception as error:  # what ends a run from outside reaches the others too
            store.set(key, f"{_FAILED}{type(error).__name__}: {error}")
            raise
        store.set(key, f"{_MADE}{made}")
        return made
    end = time.monotonic() + _PATIENCE
    while not store.check([key]):
        if time.monotonic() > end:
            raise TimeoutError(
                "Rank 0 has not begun this training for half an hour. Make the trainer in every "
                "rank."
            )
        time.sleep(0.02)
    told = store.get(key).decode()
    if told.startswith(_FAILED):
        raise PeerFailed(f"Rank 0 could not begin this training: {told.removeprefix(_FAILED)}")
    return told.removeprefix(_MADE)
