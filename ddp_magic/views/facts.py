"""What the record says in words: named lists of short texts, each within a number of bytes."""

from __future__ import annotations

from functools import partial
from json import JSONEncoder
from typing import TYPE_CHECKING, NamedTuple

from ddp_magic.views import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "CODE",
    "FAINT",
    "LINE",
    "PROSE",
    "Fact",
    "code",
    "cost",
    "details",
    "fact_html",
    "fact_lines",
]

LINE = 300
"""Characters that are kept of a line."""
CODE = "background:none;padding:0;font-size:12px"
PROSE = "background:none;padding:0;font:inherit"  # code only so that nothing is typeset
FAINT = "opacity:.7"
_PRE = (
    "flex:none;margin:0;padding:0;font-family:monospace;font-size:12px;line-height:16px;"
    "overflow:visible;white-space:pre-wrap;overflow-wrap:anywhere"
)
_AROUND = (
    "max-height:320px;overflow:auto;margin:4px 0 8px;padding:0 8px;border-left:2px solid #8b949e66"
)
# a column that grows upwards shows its end first, without a script
_FROM_END = ";display:flex;flex-direction:column-reverse"


class Fact(NamedTuple):
    """Something that is said in words.

    Attributes:
        name: Stands in front; ours, and may be empty.
        items: Anybody's texts.
        limit: The bytes that they may take as HTML; as text half of that.
        css: Of each item.
        faint: Whether it is of less weight than the rest.
        colour: Of the name, which is then bold.
    """

    name: str
    items: Sequence[str]
    limit: int
    css: str = PROSE
    faint: bool = False
    colour: str = ""


def cost(text: str) -> int:
    """Return the bytes that text takes in a notebook file, which has a string for each line."""
    return len(JSONEncoder(ensure_ascii=False).encode(text).encode()) + 14 * text.count("\n")


def fact_html(fact: Fact) -> str:
    """Return a fact as a block; empty where there is nothing to say."""
    shown = _within(fact.items, fact.limit, partial(code, css=fact.css))
    name = f"{fact.name}: " if fact.name else ""
    if fact.colour:
        name = f'<b style="color:{fact.colour}">{name}</b>'
    style = f' style="{FAINT}"' if fact.faint else ""
    return f"<div{style}>{name}{' · '.join(shown)}</div>" if shown else ""


def fact_lines(fact: Fact) -> list[str]:
    """Return a fact as lines of text, one for each item."""
    shown = _within(fact.items, fact.limit // 2, escape.plain)
    return [f"{fact.name}: {item}" if fact.name else item for item in shown]


def code(text: str, css: str = CODE) -> str:
    """Return text as a code element, where no page typesets it."""
    return f'<code style="{css}">{escape.html(text)}</code>'


def prose(text: str) -> str:
    """Return text in the page's font; as code only where a page might typeset it."""
    return code(text, PROSE) if {"$", "\\"} & {*text} else escape.html(text)


def details(summary: str, body: str, *, opened: bool, from_end: bool = True) -> str:
    """Return lines that can be folded; without lines the summary alone.

    Args:
        summary: Anybody's text.
        body: Their HTML.
        opened: Whether they are seen at first.
        from_end: Whether one sees the last of many, and not the first.
    """
    if not body:
        return f"<div>{escape.html(summary)}</div>"
    around = _AROUND + (_FROM_END if from_end else "")
    return (
        f"<details{' open' if opened else ''}><summary>{escape.html(summary)}</summary>"
        f'<div style="{around}" tabindex="0"><pre style="{_PRE}">{body}</pre></div></details>'
    )


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
