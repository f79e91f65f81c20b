"""The record: what the notebook keeps of a run, as HTML and as plain text.

It must read well in a notebook that is not trusted (styles stripped), in an export, in a diff, and
on a page that typesets ``$``: so details, code and pre only, no script, no style element, no svg.
However much the workers print, it stays below 25 kB in the notebook's file. What the cell says
itself (its number, the error that a failed run raises) is not said again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.events import RunState
from ddp_magic.screen import Line
from ddp_magic.views import escape, numbers
from ddp_magic.views.colour import STATES, line_html
from ddp_magic.views.facts import (
    CODE,
    FAINT,
    LINE,
    PROSE,
    Fact,
    code,
    cost,
    details,
    fact_html,
    fact_lines,
    prose,
)
from ddp_magic.views.meanwhile import meanwhile_html, meanwhile_lines
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
_ALL = "font-size:13px;line-height:1.5;overflow-wrap:anywhere"


def record(
    picture: Picture, now: float | None = None, *, hint: str = "", stacks: str = ""
) -> dict[str, str]:
    """Return the run as a mime bundle.

    Args:
        picture: What is known of the run.
        now: While the run goes on: the time to tell how long it has taken; None tells nothing.
        hint: Likewise: how to stop it.
        stacks: Likewise: where every rank was when it began to hang.
    """
    meanwhile = meanwhile_html(picture, hint, stacks), meanwhile_lines(picture, stacks)
    return {
        "text/html": _html(picture, now, meanwhile[0]),
        "text/plain": _plain(picture, now, meanwhile[1]),
    }


def _html(picture: Picture, now: float | None, meanwhile: Iterable[str]) -> str:
    parts = [f"<div>{_title_html(picture, now)}</div>", *meanwhile]
    parts += filter(None, map(fact_html, _facts(picture)))
    held = [" ".join(item) for item in numbers.peaks(picture).items()] if picture.ended else []
    last = Fact("last", numbers.lasts(picture), 1000, CODE)
    peak = Fact("peak memory", held, 500, PROSE, faint=True)
    parts += filter(None, [numbers.chart_html(picture), fact_html(last), fact_html(peak)])
    logs = ""
    if picture.started:
        logs = f'<div style="{FAINT}">logs: {code(_middle(picture.started.log_dir, 300))}</div>'
    if picture.ended:
        logs = fact_html(Fact("made with", picture.ended.versions, 500, faint=True)) + logs
    left = HTML_BYTES - cost("\n".join(parts)) - cost(logs) - 200
    parts += _tails_html(picture, left)
    return f'<div style="{_ALL}">' + "\n".join([*parts, logs]) + "</div>"


def _title_html(picture: Picture, now: float | None) -> str:
    name, state, rest = _title(picture, now)
    colour = STATES.get(picture.state, "#1f7ae0")
    details = code(" · ".join(rest[1:]), PROSE) if rest[1:] else ""
    return (
        f"<b>{prose(name)}</b> "
        f'<b style="color:{colour}">{escape.html(state)}</b>{prose(rest[0])}'
        + (f" · {details}" if details else "")
    )


def _tails_html(picture: Picture, budget: int) -> list[str]:
    """Return a block for each rank; the shown ones are open and get half of the bytes first."""
    shown = picture.started.shown if picture.started else ()
    blocks: dict[int, str] = {}
    order = sorted(picture.ranks, key=lambda rank: (rank not in shown, rank))
    for at, rank in enumerate(order):
        share = budget // 2 if at == 0 and len(order) > 1 else budget // (len(order) - at)
        terminal = picture.ranks[rank]
        lines = _tail_within(terminal.tail(TAIL), share - 600, line_html)
        if not lines and at >= 16:
            continue
        heading = _heading(rank, terminal, len(lines))
        block = details(heading, "\n".join(lines), opened=rank in shown)
        blocks[rank] = block
        budget -= cost(block)
    return [blocks[rank] for rank in sorted(blocks)]


def _plain(picture: Picture, now: float | None, meanwhile: Iterable[str]) -> str:
    name, state, rest = _title(picture, now)
    parts = [f"{name} {state}{rest[0]}", " · ".join(rest[1:]), *meanwhile]
    parts += [line for fact in _facts(picture) for line in fact_lines(fact)]
    parts += numbers.lines(picture)
    if picture.started:
        parts.append(f"logs: {escape.plain(_middle(picture.started.log_dir, 300))}")
    if picture.ended and picture.ended.versions:
        parts.append(f"made with: {escape.line(', '.join(picture.ended.versions), 300)}")
    parts = [escape.plain(part) for part in parts if part]
    for rank in picture.started.shown[:1] if picture.started else ():
        terminal = picture.ranks[rank]
        left = PLAIN_BYTES - cost("\n".join(parts)) - 200
        lines = _tail_within(terminal.tail(TAIL), left, lambda line: escape.neutral(line.text))
        parts += [_heading(rank, terminal, len(lines)), *(f"  {line}".rstrip() for line in lines)]
    return "\n".join(parts)


def _title(picture: Picture, now: float | None) -> tuple[str, str, list[str]]:
    """Return the run's name, its state, and: how long it took, its workers, attempt and note."""
    name = "%%ddp"
    rest: list[str] = []
    if picture.started:
        name += f" {escape.line(picture.started.run_id, 40)}"
        if picture.started.name:
            name += f" ({escape.line(picture.started.name, 60)})"
        attempt = f"attempt {picture.attempt + 1}" if picture.attempt else ""
        note = escape.line(picture.started.note)
        rest += filter(None, [workers(picture.started.devices), attempt, note])
    if picture.ended:
        took = f" in {duration(picture.ended.duration)}"
        if picture.state is RunState.STOPPED and picture.ended.summary:
            took += f": {escape.line(picture.ended.summary)}"
        return name, picture.state, [took, *rest]
    # a live panel hides it then: it is read where the kernel has gone since
    took = f" for {duration(picture.elapsed(now))}" if now is not None else " when this was saved"
    return name, picture.state, [took, *rest]


def _facts(picture: Picture) -> list[Fact]:
    started, ended = picture.started, picture.ended
    why = ended.summary if ended else picture.reason
    facts = [] if picture.state is RunState.STOPPED else [Fact("", [why], 800)]
    if started:
        facts.append(Fact("", started.overrides, 1800, CODE))
    for warning in (True, False):
        notices = [notice.text for notice in picture.notices if notice.warning is warning]
        facts.append(Fact("warning" if warning else "", notices, 1000, faint=not warning))
    if ended:
        facts.append(Fact("in the notebook", ended.outputs, 1000, CODE))
        facts.append(Fact("did not come back", ended.missing, 1400))
    return facts


def _heading(rank: int, terminal: RankTerminal, count: int) -> str:
    if not terminal.total and not count:
        return f"rank {rank} printed nothing"
    total = terminal.total + len(terminal.live())
    what = f"last {count} of {total:,} lines" if count < total else f"{total} lines"
    return f"rank {rank} · {what if total != 1 else '1 line'}"


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
