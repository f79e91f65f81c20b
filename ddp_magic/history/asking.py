"""Runs in the kernel: what a %ddp_runs line asks for."""

from __future__ import annotations

import difflib
import re
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from ddp_magic.errors import OptionError
from ddp_magic.events import RunState

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FILTERS", "Asked", "check_side_by_side", "parse", "unknown"]

FILTERS = ("state", "name", "notebook", "sort", "last")
LAST = 20
"""Runs that are listed unless the line says how many."""
_SIDE_BY_SIDE = 8
_MOST = 100_000
_OPTIONS = ("--delete", "--clear", "--compare")
_STATES = tuple(str(state) for state in RunState if state.final)
_NUMBERS = re.compile(r"#?([0-9]{1,9})(?:-([0-9]{1,9}))?")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What to show or to delete.

    Attributes:
        numbers: These runs; all that the words choose if empty.
        compare: Whether to set those that the words choose side by side.
        delete: Whether to delete them.
        clear: Whether to delete everything.
        given: Filters, and what overrides must be: ``lr`` and ``0.05``.
        words: What must stand in a run's name, note, cell, cause or overrides.
        sort: A metric or a column; `descending` for the other end first.
        last: How many of the newest.
        descending: Whether the highest comes first.
    """

    numbers: tuple[int, ...] = ()
    compare: bool = False
    delete: bool = False
    clear: bool = False
    given: dict[str, str] = field(default_factory=dict[str, str])
    words: tuple[str, ...] = ()
    sort: str = ""
    last: int | None = None
    descending: bool = False


def parse(line: str) -> Asked:
    """Read the line.

    Raises:
        OptionError: In two sentences.
    """
    try:
        words = shlex.split(line)
    except ValueError:
        raise OptionError(
            "A quotation is not closed on the %ddp_runs line. Write name='two words'."
        ) from None
    for word in words:
        if word.startswith("-") and word not in _OPTIONS:
            unknown(word, _OPTIONS, "is no option of %ddp_runs", "--delete 12")
    delete, clear, compare = (option in words for option in _OPTIONS)
    rest = [word for word in words if word not in _OPTIONS]
    numbers = [word for word in rest if _NUMBERS.fullmatch(word)]
    if clear and (delete or compare or rest):
        raise OptionError(
            "--clear deletes every run and takes nothing else. Write --delete 12 14 for some."
        )
    if delete and (compare or len(numbers) < len(rest) or not rest):
        raise OptionError("--delete takes numbers of runs. Write --delete 12, or --delete 3-9.")
    if numbers and len(numbers) < len(rest):
        other = next(word for word in rest if word not in numbers)
        raise OptionError(
            f"%ddp_runs takes numbers of runs or words to look for, not {numbers[0]} with {other}. "
            f"Write %ddp_runs {numbers[0]}, or %ddp_runs {other}."
        )
    if numbers:
        return Asked(numbers=_chosen(numbers, delete=delete), delete=delete)
    return Asked(clear=True) if clear else replace(_filters(rest), compare=compare)


def unknown(word: str, known: Iterable[str], what: str, otherwise: str) -> NoReturn:
    """Refuse a word, with those that it is close to."""
    listed = list(dict.fromkeys(known))
    close = difflib.get_close_matches(word, listed, 2)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"Write {otherwise}."
    raise OptionError(f"{word} {what}. {hint}")


def _chosen(numbers: list[str], *, delete: bool) -> tuple[int, ...]:
    found: dict[int, None] = {}
    for word in numbers:
        match = _NUMBERS.fullmatch(word)
        assert match is not None
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < first + _MOST:
            raise OptionError(f"{word} is no range of runs. Write the lower number first, as 3-9.")
        found.update(dict.fromkeys(range(first, last + 1)))
    if not delete:
        check_side_by_side(len(found))
    return tuple(found)


def check_side_by_side(count: int, least: int = 1) -> None:
    """Refuse more runs than can be compared on a page, or less than `least`."""
    if not least <= count <= _SIDE_BY_SIDE:
        what = "run does" if count == 1 else "runs do"
        raise OptionError(
            f"{count} {what} not fit side by side. Choose {least} to {_SIDE_BY_SIDE}, "
            "as in %ddp_runs --compare last=2."
        )


def _filters(rest: list[str]) -> Asked:
    given: dict[str, str] = {}
    words: list[str] = []
    for word in rest:
        name, equals, value = word.partition("=")
        if equals and name:
            given[name] = value
        else:
            words.append(word.casefold())
    state = given.get("state")
    if state is not None and state not in _STATES:
        unknown(state, _STATES, "is no state that a run ends in", f"state={_STATES[1]}")
    sort = given.pop("sort", "")
    return Asked(
        given=given,
        words=tuple(words),
        last=_count(given.pop("last", None)),
        sort=sort.removeprefix("-"),
        descending=sort.startswith("-"),
    )


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if text == "all":
        return _MOST
    if not re.fullmatch(r"0*[1-9][0-9]{0,5}", text):
        raise OptionError(f"last={text} is no number of runs. Write last=50, or last=all.")
    return int(text)
