"""Asks where every rank is when a run seems to hang: for views without a button to do so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ddp_magic.views import escape

if TYPE_CHECKING:
    from ddp_magic.views import Controls

__all__ = ["Asking", "parted"]

_RANK = re.compile(r"^Rank \d+:", re.MULTILINE)


class Asking:
    """Asks once for each time that the run hangs: while its cell blocks, nobody else can.

    Args:
        controls: Who answers.
    """

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self._asked = False

    def look(self, why: str) -> str:
        """Return the answer, which takes up to two seconds; empty where it is not time to ask.

        Args:
            why: Why the run seems to hang; empty where it goes on.
        """
        asked, self._asked = self._asked, bool(why)
        if asked or not why:
            return ""
        try:
            return self._controls.stacks()
        except Exception:  # the run is shown on without
            return ""


def parted(stacks: str) -> tuple[str, str]:
    """Return the sentences that stand before the ranks' stacks, as one line, and the stacks."""
    first = _RANK.search(stacks)
    at = first.start() if first else len(stacks)
    return escape.line(stacks[:at], 600), stacks[at:]
