"""What rank 0 displays is drawn beside the view of each kind, and cannot harm it."""

from __future__ import annotations

from typing import Any

import pytest

from ddp_magic.drawing import Drawing
from ddp_magic.events import Cleared, Displayed
from tests.display import FakeControls, FakeDisplay, ended, out, started


class Front(FakeDisplay):
    """A shell that cannot show what it is told not to."""

    def show(self, data, metadata=None):
        if data.get("text/plain") == "refused":
            raise ValueError("no such output")
        return super().show(data, metadata)


def displayed(words: str, name: str = "", *, update: bool = False) -> Displayed:
    return Displayed(
        time=0, data={"text/plain": words}, metadata={}, display_id=name, update=update
    )


@pytest.mark.parametrize("kind", ["plain", "html", "widget"])
def test_displays_come_below_the_view_and_a_view_knows_nothing_of_them(kind: Any):
    front: Any = Front()
    drawing = Drawing(kind, front, FakeControls())
    drawing.show(started())
    drawing.tick()
    above = len(front.handles)
    drawing.show(out("text\n"))
    for event in (displayed("a", "x"), displayed("b"), displayed("c", "x", update=True)):
        drawing.show(event)
    drawing.tick()
    drawing.show(Cleared(time=0, wait=False))
    drawing.show(displayed("d"))
    drawing.show(ended())
    drawing.close()

    assert [[d["text/plain"] for d in h.shown] for h in front.handles[above:]] == [
        ["a", "c", "", "d"], ["b", ""],
    ]  # fmt: skip


def test_an_output_that_cannot_be_shown_is_told_and_the_view_goes_on():
    front: Any = Front()
    drawing = Drawing("plain", front, FakeControls())
    drawing.show(started())
    drawing.show(displayed("refused"))
    drawing.show(displayed("shown"))
    drawing.show(ended())
    drawing.close()

    assert "An output of rank 0 could not be shown (ValueError: no such output)." in front.err
    assert "succeeded" in front.err
    assert [h.shown for h in front.handles] == [[{"text/plain": "shown"}]]
