"""The live panel in JupyterLab and Notebook 7: an anywidget while the cell blocks; kernel only.

Three outputs. The first is the record, refreshed every ten seconds, so that a notebook saved in the
middle of a run reads well; a live panel on the page hides it (by a style rule inside the panel, so
that it shows wherever no panel can be drawn). The second is the panel, the third serves a
page that is reloaded in the middle; at the end these two are blanked.
The only module that imports anywidget.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import traitlets

from ddp_magic.views import page
from ddp_magic.views.feed import Feed
from ddp_magic.views.picture import Picture
from ddp_magic.views.record import record
from ddp_magic.views.requests import Requests
from ddp_magic.views.revive import revival

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddp_magic.events import Event
    from ddp_magic.metrics import Curves
    from ddp_magic.views import Controls, Display

__all__ = ["WidgetView"]

RECORD_PERIOD = 10.0
"""Seconds between two drawings of the hidden record; autosave stores it."""
NEWS_PERIOD = 1.0
"""The same where more than output changed."""
KEPT_PANELS = 3
"""Panels that stay open after their run: a page that was reloaded in the middle of it can still
draw its end (a closed one is "model not found")."""


class _Panel(anywidget.AnyWidget):
    """The widget; its state is made when a page asks for it, so that it costs nothing before."""

    _esm = page.module()
    _css = page.style()
    record_class = traitlets.Unicode().tag(sync=True)
    beside = traitlets.Bool().tag(sync=True)  # whether the page may ask by the control channel
    snapshot = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        record_class: str,
        snapshot: Callable[..., dict[str, Any]],
        unheard: Callable[[], None] | None,
    ) -> None:
        """Open it.

        Args:
            record_class: Names the run on its page.
            snapshot: Makes its state.
            unheard: Ends the hearing of what the page asks beside the cells; None where it is not.
        """
        self._make_snapshot = snapshot
        self._unheard = unheard
        super().__init__(record_class=record_class, beside=unheard is not None)
        # for a page that asks by the comm: ipykernel 7.4 hands its messages to the shell that
        # published on it last, which is busy with the cell (ipykernel/comm/comm.py); without its
        # hook they stay in the page's own subshell, as in 7.0 to 7.3
        if hasattr(self.comm, "_reply_subshell_for"):
            setattr(self.comm, "_reply_subshell_for", None)  # noqa: B010

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
        """Return the state with a snapshot made now; overrides ipywidgets."""
        state: dict[str, Any] = super().get_state(key, drop_defaults)
        if "snapshot" in state:
            state["snapshot"] = self._make_snapshot(whole=True)
        return state

    def close(self) -> None:
        """Close it for good."""
        super().close()
        if self._unheard is not None:
            self._unheard()

    @property
    def bundle(self) -> dict[str, Any]:
        """The output that shows it; without a word for viewers that cannot."""
        model = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {"text/plain": "", "application/vnd.jupyter.widget-view+json": model}

    def revival(self, kernel_id: str) -> dict[str, str]:
        """The output by which a reloaded page shows it."""
        return revival(self.record_class, self.comm.comm_id if self.comm else "", kernel_id)


def _text(data: dict[str, str]) -> dict[str, str]:
    return {"text/plain": data["text/plain"]}


class WidgetView:
    """Shows a run in a live panel.

    Args:
        display: Where the outputs go.
        controls: Called on the thread that the page's message arrives on.
    """

    _kept: ClassVar[deque[_Panel]] = deque()
    _before: ClassVar[Curves | None] = None
    """The run before: drawn faintly behind the next one's curves."""

    def __init__(self, display: Display, controls: Controls) -> None:
        self._lock = threading.RLock()  # a snapshot is made on the thread that it is asked on
        self._picture = Picture()
        self._feed = Feed(self._picture, self._before)
        self._now = self._record_at = 0.0
        self._record_versions = (0, 0)
        self._record_class = f"ddp-magic-{secrets.token_hex(6)}"
        self._display = display
        unheard = display.hear(self._record_class, self._asked)
        self._panel = _Panel(self._record_class, self._snapshot, unheard)
        self._requests = Requests(self._picture, self._feed, controls, self._panel.send)
        self._panel.on_msg(self._heard)
        self._record_output = display.show(self._live_record())
        self._panel_output = display.show(self._panel.bundle)
        self._revival = display.show(self._panel.revival(display.kernel_id))

    def handle(self, event: Event) -> None:
        """Take an event in."""
        with self._lock:
            self._picture.handle(event)
            self._now = max(self._now, event.time)

    def tick(self, now: float) -> None:
        """Send what is new, as far as the page keeps up; refresh the record now and then."""
        with self._lock:
            self._now = now
            self._picture.settle(now)
            message = self._feed.message(now)
        if message is not None:
            self._panel.send(message)
        self._refresh_record(now)

    def close(self) -> None:
        """Put the final record in the place of the panel."""
        if self._picture.curves.series:
            WidgetView._before = self._picture.curves
        self._panel.send(self._snapshot())
        self._record_output.update(record(self._picture))
        self._panel_output.update({"text/plain": ""})
        self._revival.update({"text/plain": ""})
        self._kept.append(self._panel)
        while len(self._kept) > KEPT_PANELS:
            self._kept.popleft().close()

    def bundle(self) -> dict[str, Any]:
        """Return the panel while it is live, then the record."""
        with self._lock:
            data = record(self._picture)
        return dict(data) if self._picture.ended else {**self._panel.bundle, **_text(data)}

    def _refresh_record(self, now: float) -> None:
        if self._feed.behind:  # a closed page: the server would keep every one of them for it
            return
        versions = (self._picture.version, self._picture.output_version)
        told = versions[0] == self._record_versions[0]
        wait = RECORD_PERIOD if told else NEWS_PERIOD
        if versions != self._record_versions and now - self._record_at >= wait:
            self._record_versions, self._record_at = versions, now
            self._record_output.update(self._live_record())

    def _snapshot(self, *, whole: bool = False) -> dict[str, Any]:
        with self._lock:
            return self._feed.snapshot(self._now, whole=whole)

    def _live_record(self) -> dict[str, str]:
        data = record(self._picture)
        hidden = f'<div class="{self._record_class}">{data["text/html"]}</div>'
        return {**data, "text/html": hidden}

    def _heard(self, _panel: object, message: object, _buffers: object) -> None:
        """Take a message of the panel's comm in."""
        self._asked(message)

    def _asked(self, message: object) -> None:
        self._requests.take(message)
