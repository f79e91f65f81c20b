"""What the record says only while the run goes on: how far it is, what it takes, why it hangs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ddp_magic.events import RunState
from ddp_magic.views import escape, numbers, wire
from ddp_magic.views.asking import parted
from ddp_magic.views.colour import STATES
from ddp_magic.views.facts import Fact, cost, details, fact_html, fact_lines
from ddp_magic.views.picture import duration

if TYPE_CHECKING:
    from ddp_magic.views.picture import Picture

__all__ = ["meanwhile_html", "meanwhile_lines", "stop"]

_STACKS = 3000
"""Bytes that stacks may take."""
_LONGEST = 1e7
"""Seconds: a bar that expects more knows nothing."""
_BAR = "width:10em;margin-right:6px;vertical-align:middle;accent-color:#1f7ae0"


def meanwhile_html(picture: Picture, hint: str = "", stacks: str = "") -> list[str]:
    """Return blocks; none when the run is over.

    Args:
        picture: What is known of the run.
        hint: How to stop it; may be empty.
        stacks: Where every rank was when it began to hang; may be empty.
    """
    if picture.ended is not None:
        return []
    where, stacks = parted(stacks)
    blocks = [fact_html(_stall(picture)), fact_html(Fact("", [where], 1600))]
    blocks += [_stacks_html(picture, stacks), _progress_html(picture)]
    facts = Fact("", numbers.devices(picture), 1000, faint=True), Fact("", [hint], 400, faint=True)
    return [*filter(None, blocks), *filter(None, map(fact_html, facts))]


def meanwhile_lines(picture: Picture, stacks: str = "") -> list[str]:
    """Return lines of text; none when the run is over."""
    if picture.ended is not None:
        return []
    where = Fact("", [parted(stacks)[0]], 1600)
    facts = _stall(picture), where, Fact("", _progress(picture), 400)
    return [line for fact in facts for line in fact_lines(fact)]


def stop(picture: Picture) -> str:
    """Say how to stop the run where no button of ours can be; empty where that is said already."""
    if picture.started is None or picture.state is RunState.STOPPING or picture.ended:
        return ""
    if picture.detached:
        return f"%ddp_stop {picture.started.run_id} interrupts it, and kills it the second time"
    return "to stop: the notebook's interrupt button (■); a second time it kills"


def _stall(picture: Picture) -> Fact:
    return Fact("it seems to hang", [picture.stalled], 800, colour=STATES["stopped"])


def _stacks_html(picture: Picture, stacks: str) -> str:
    if not stacks:
        return ""
    shown = escape.html(stacks[:_STACKS])
    while cost(shown) > _STACKS:
        shown = shown[: len(shown) * 3 // 4].rpartition("\n")[0] + "\n…"
    again = ""
    if picture.detached and picture.started:
        again = f" (%ddp_stacks {escape.line(picture.started.run_id, 40)} asks again)"
    return details(f"stacks{again}", shown, opened=True)


def _progress(picture: Picture) -> list[str]:
    found = wire.progress(picture)
    if found is None:
        return []
    label, part, left = found
    known = left is not None and math.isfinite(left) and 0 <= left < _LONGEST
    rest = f", {duration(left)} left" if left is not None and known else ""
    return [f"{label}{': ' if label else ''}{100 * part:.0f} %{rest}"]


def _progress_html(picture: Picture) -> str:
    found = wire.progress(picture)
    if found is None:
        return ""
    label, part, _ = found
    said = fact_html(Fact("", _progress(picture), 400)).removeprefix("<div>")
    name = escape.html(label or "progress")
    return (
        f'<div><progress max="1" value="{part:.3f}" aria-label="{name}" style="{_BAR}"></progress>'
        + said
    )
