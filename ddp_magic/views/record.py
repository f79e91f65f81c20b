"""The record: what the notebook keeps of a run, as HTML and as plain text.

It must read well in a notebook that is not trusted (styles stripped), in an export, in a diff, and
on a page that typesets ``$``: so details, code and pre only, no script, no style element, no svg.
However much the workers print, it stays below 25 kB in the notebook's file. What the cell says
itself (its number, the error that a failed run raises) is not said again.
"""

from __future__ import annotations

from functools import partial
from json import JSONEncoder
from typing import TYPE_CHECKING, NamedTuple

from ddp_magic.events import RunState
from ddp_magic.screen import Line
from ddp_magic.views import escape, numbers
from ddp_magic.views.colour import STATES, line_html
from ddp_magic.views.picture import duration, workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ddp_magic.terminal import RankTerminal
    from ddp_magic.views.picture import Picture

__all__ = ["record"]

HTML_BYTES = 17_000
PLAIN_BYTES = 7_000
TAIL = 40
"""Lines that are kept of a rank."""
LINE = 300
"""Characters that are kept of a line."""
_PRE = (
    "margin:2px 0 6px;padding:4px 8px;font-family:monospace;font-size:12px;line-height:1.35;"
    "max-height:22em;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere;"
    "border-left:2px solid #8b949e66"
)
_ALL = "font-size:13px;line-height:1.5;overflow-wrap:anywhere"
_CODE = "background:none;padding:0;font-size:12px"
_PROSE = "background:none;padding:0;font:inherit"  # code only so that nothing is typeset
_FAINT = "opacity:.7"


class _Fact(NamedTuple):
    """Something that is said in words: its name, the items, the bytes that they may take."""

    name: str
    items: Sequence[str]
    limit: int
    css: str = _PROSE
    faint: bool = False


def record(picture: Picture, now: float | None = None) -> dict[str, str]:
    """Return the run as a mime bundle.

    Args:
        picture: What is known of the run.
        now: While the run goes on: the time to tell how long it has taken; None tells nothing.
    """
    return {"text/html": _html(picture, now), "text/plain": _plain(picture, now)}


def cost(text: str) -> int:
    """Return the bytes that text takes in a notebook file, which has a string for each line."""
    return len(JSONEncoder(ensure_ascii=False).encode(text).encode()) + 14 * text.count("\n")


def _html(picture: Picture, now: float | None) -> str:
    parts = [f"<div>{_title_html(picture, now)}</div>"]
    parts += filter(None, map(_fact_html, _facts(picture)))
    last = _Fact("last", numbers.lasts(picture), 1000, _CODE)
    held = [" ".join(item) for item in numbers.peaks(picture).items()]
    peak = _Fact("peak memory", held, 500, _PROSE, faint=True)
    parts += filter(None, [numbers.chart_html(picture), _fact_html(last), _fact_html(peak)])
    logs = ""
    if picture.started:
        logs = f'<div style="{_FAINT}">logs: {_code(_middle(picture.started.log_dir, 300))}</div>'
    left = HTML_BYTES - cost("\n".join(parts)) - cost(logs) - 200
    parts += _tails_html(picture, left)
    return f'<div style="{_ALL}">' + "\n".join([*parts, logs]) + "</div>"


def _title_html(picture: Picture, now: float | None) -> str:
    name, state, rest = _title(picture, now)
    colour = STATES.get(picture.state, "#1f7ae0")
    details = _code(" · ".join(rest[1:]), _PROSE) if rest[1:] else ""
    return (
        f"<b>{escape.html(name)}</b> "
        f'<b style="color:{colour}">{escape.html(state)}</b>{escape.html(rest[0])}'
        + (f" · {details}" if details else "")
    )


def _fact_html(fact: _Fact) -> str:
    shown = _within(fact.items, fact.limit, partial(_code, css=fact.css))
    name = f"{fact.name}: " if fact.name else ""
    style = f' style="{_FAINT}"' if fact.faint else ""
    return f"<div{style}>{name}{' · '.join(shown)}</div>" if shown else ""


def _code(text: str, css: str = _CODE) -> str:
    return f'<code style="{css}">{escape.html(text)}</code>'


def _tails_html(picture: Picture, budget: int) -> list[str]:
    """Return a block for each rank; the shown ones are open and get half of the bytes first."""
    shown = picture.started.shown if picture.started else ()
    blocks: dict[int, str] = {}
    order = sorted(picture.ranks, key=lambda rank: (rank not in shown, rank))
    for at, rank in enumerate(order):
        share = budget // 2 if at == 0 and len(order) > 1 else budget // (len(order) - at)
        terminal = picture.ranks[rank]
        lines = _tail_within(terminal.tail(TAIL), share - 500, line_html)
        if not lines and at >= 16:
            continue
        block = _details(
            _heading(rank, terminal, len(lines)), "\n".join(lines), opened=rank in shown
        )
        blocks[rank] = block
        budget -= cost(block)
    return [blocks[rank] for rank in sorted(blocks)]


def _details(summary: str, body: str, *, opened: bool) -> str:
    if not body:
        return f"<div>{escape.html(summary)}</div>"
    return (
        f"<details{' open' if opened else ''}><summary>{escape.html(summary)}</summary>"
        f'<pre style="{_PRE}">{body}</pre></details>'
    )


def _plain(picture: Picture, now: float | None) -> str:
    name, state, rest = _title(picture, now)
    parts = [f"{name} {state}{rest[0]}", " · ".join(rest[1:])]
    for fact in _facts(picture):
        shown = _within(fact.items, fact.limit // 2, escape.plain)
        parts += [f"{fact.name}: {item}" if fact.name else item for item in shown]
    parts += numbers.lines(picture)
    if picture.started:
        parts.append(f"logs: {escape.plain(_middle(picture.started.log_dir, 300))}")
    parts = [escape.plain(part) for part in parts if part]
    for rank in picture.started.shown[:1] if picture.started else ():
        terminal = picture.ranks[rank]
        left = PLAIN_BYTES - cost("\n".join(parts)) - 200
        lines = _tail_within(terminal.tail(TAIL), left, lambda line: escape.neutral(line.text))
        parts += [_heading(rank, terminal, len(lines)), *(f"  {line}".rstrip() for line in lines)]
    return "\n".join(parts)


def _title(picture: Picture, now: float | None) -> tuple[str, str, list[str]]:
    """Return the run's name, its state, and: how long it took, its workers, its note."""
    name = "%%ddp"
    rest: list[str] = []
    if picture.started:
        name += f" {escape.line(picture.started.run_id, 40)}"
        rest += filter(None, [workers(picture.started.devices), escape.line(picture.started.note)])
    if picture.ended:
        took = f" in {duration(picture.ended.duration)}"
        if picture.state is RunState.STOPPED and picture.ended.summary:
            took += f": {escape.line(picture.ended.summary)}"
        return name, picture.state, [took, *rest]
    took = f" for {duration(picture.elapsed(now))}" if now is not None else ""
    return name, picture.state, [took, *rest]


def _facts(picture: Picture) -> list[_Fact]:
    started, ended = picture.started, picture.ended
    why = ended.summary if ended else picture.reason
    facts = [] if picture.state is RunState.STOPPED else [_Fact("", [why], 800)]
    if started:
        facts.append(_Fact("", started.overrides, 1800, _CODE))
    for warning in (True, False):
        notices = [notice.text for notice in picture.notices if notice.warning is warning]
        facts.append(_Fact("warning" if warning else "", notices, 1000, faint=not warning))
    if ended:
        facts.append(_Fact("in the notebook", ended.outputs, 1000, _CODE))
        facts.append(_Fact("did not come back", ended.missing, 1400))
    return facts


def _heading(rank: int, terminal: RankTerminal, count: int) -> str:
    if not terminal.total and not count:
        return f"rank {rank} printed nothing"
    total = terminal.total + len(terminal.live())
    what = f"last {count} of {total:,} lines" if count < total else f"{total} lines"
    return f"rank {rank} · {what if total != 1 else '1 line'}"


def _within(items: Iterable[str], limit: int, render: Callable[[str], str]) -> list[str]:
    """Render items as single lines as long as they cost no more than `limit` bytes together."""
    shown: list[str] = []
    for item in items:
        text = escape.line(item, LINE)
        if not text:
            continue
        rendered = render(text)
        while cost(rendered) > limit and len(text) > 1:
            text = escape.clip(text, len(text) // 2)
            rendered = render(text)
        limit -= cost(rendered)
        if limit < 0:
            return [*shown, "…"]
        shown.append(rendered)
    return shown


def _tail_within(lines: Sequence[Line], limit: int, render: Callable[[Line], str]) -> list[str]:
    """Render the last lines that cost no more than `limit` bytes together."""
    shown: list[str] = []
    for line in reversed(lines):
        rendered = render(_clipped(line))
        if cost(rendered) > 1500:
            rendered = render(Line(escape.clip(line.text, LINE // 4)))
        limit -= cost(rendered) + 17
        if limit < 0:
            break
        shown.append(rendered)
    return shown[::-1]


def _clipped(line: Line) -> Line:
    if len(line.text) <= LINE:
        return line
    runs = tuple((a, min(b, LINE - 1), style) for a, b, style in line.runs if a < LINE - 1)
    return Line(escape.clip(line.text, LINE), runs)


def _middle(text: str, limit: int) -> str:
    """Cut a path in the middle: its two ends are what tells it from others."""
    text = escape.line(text, 2 * limit)
    return text if len(text) <= limit else f"{text[: limit // 2]}…{text[-limit // 2 :]}"
