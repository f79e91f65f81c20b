"""The line model beside pyte, a whole terminal in Python: equal but for what it leaves out."""

from __future__ import annotations

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyte import graphics, modes
from wcwidth import wcwidth

from ddp_magic.screen import Line, Screen
from ddp_magic.sgr import PLAIN, TRUE_COLOUR, Effect, Style
from tests.bars import Step, with_rich, with_tqdm

COLUMNS, ROWS = 200, 500
NAMES = {
    **{graphics.FG_ANSI[30 + n]: n for n in range(8)},
    **{graphics.FG_AIXTERM[90 + n]: 8 + n for n in range(8)},
    **{graphics.BG_AIXTERM[100 + n]: 8 + n for n in range(8)},
}


class Terminal:
    """pyte, so large that nothing wraps and nothing scrolls."""

    def __init__(self) -> None:
        self.screen = pyte.Screen(COLUMNS, ROWS)
        self.screen.set_mode(modes.LNM)  # a newline returns the carriage, as a tty has it
        self._stream = pyte.ByteStream(self.screen)

    def feed(self, data: bytes) -> None:
        self._stream.feed(data)

    def rows(self) -> list[list[tuple[str, Style]]]:
        """Return each row's characters and how they look, without blanks at ends."""
        last = max(self.screen.buffer, default=0)
        return stripped([self._row(number) for number in range(last + 1)])

    def _row(self, number: int) -> list[tuple[str, Style]]:
        cells = self.screen.buffer[number]
        end = max(cells, default=-1) + 1
        found: list[tuple[str, Style]] = []
        for x in range(end):
            text, before, after = (cells[at].data for at in (x, x - 1, x + 1))
            if not text and wide(before):
                continue
            if not text or (wide(text) and after):
                text = " "  # as a terminal draws half of a wide character, which pyte leaves open
            found.append((text, look(cells[x])))
        return found


def wide(text: str) -> bool:
    return bool(text) and wcwidth(text[0]) == 2


def look(cell) -> Style:
    """Return how pyte would draw it, in our terms, colours by what they are."""
    effects = {Effect.BOLD: cell.bold, Effect.ITALIC: cell.italics,
               Effect.UNDERLINE: cell.underscore, Effect.INVERSE: cell.reverse,
               Effect.STRIKE: cell.strikethrough}  # fmt: skip
    return Style(
        *(-1 if each == "default" else rgb(each) for each in (cell.fg, cell.bg)),
        sum(effect for effect, on in effects.items() if on),
    )


def rgb(colour: str | int) -> int:
    """Return a colour of pyte's or ours as 0xRRGGBB."""
    if isinstance(colour, int) and colour >= TRUE_COLOUR:
        return colour - TRUE_COLOUR
    number = NAMES.get(colour, colour) if isinstance(colour, str) else colour
    return int(graphics.FG_BG_256[number] if isinstance(number, int) else number, 16)


def cells(line: Line) -> list[tuple[str, Style]]:
    return [(c, comparable(style)) for text, style in line.pieces() for c in text]


def comparable(style: Style) -> Style:
    """Return a style without what pyte does not know."""
    fg, bg = (-1 if each < 0 else rgb(each) for each in style[:2])
    return Style(fg, bg, style.effects & ~Effect.DIM)


def stripped(rows):
    """Drop what cannot be seen: blanks at the end of rows, blank rows at the end."""
    rows = [row[: len("".join(c for c, _ in row).rstrip())] for row in rows]
    while rows and not rows[-1]:
        rows.pop()
    return rows


def shown(final: list[Line], screen: Screen) -> list[list[tuple[str, Style]]]:
    return stripped([cells(line) for line in (*final, *screen.live())])


WORDS = st.text("ab 1é|█損🔥", max_size=12)
STEPS = st.lists(
    st.builds(
        Step,
        kind=st.sampled_from(
            ["open", "open", "advance", "advance", "advance", "rename", "say", "print", "close"]
        ),
        bar=st.integers(0, 5),
        text=WORDS,
        amount=st.integers(1, 12),
        leave=st.booleans(),
    ),
    max_size=25,
)


LOOKS = st.lists(st.integers(0, 9), min_size=30, max_size=30)


@settings(max_examples=40, deadline=None)
@given(STEPS, LOOKS)
def test_bars_of_tqdm_are_drawn_as_by_a_terminal_whenever_lines_settle(steps, looks):
    terminal, screen, final = Terminal(), Screen(), []
    for writes, look_at in zip(with_tqdm(steps), looks, strict=False):
        for at, write in enumerate(writes):
            terminal.feed(write)
            screen.feed(write)
            if at == look_at:  # between two writes of one drawing there is time for one look
                final += screen.settle()
        for _ in range(look_at % 3):
            final += screen.settle()
        final += screen.take()

        assert shown(final, screen) == terminal.rows()


@settings(max_examples=40, deadline=None)
@given(STEPS, LOOKS)
def test_bars_of_rich_are_drawn_as_by_a_terminal_whenever_lines_settle(steps, looks):
    terminal, screen, final = Terminal(), Screen(), []
    looked = False
    for writes, look in zip(with_rich(steps), looks, strict=False):
        for write in writes:
            terminal.feed(write)
            screen.feed(write)
        looked = not looked and look > 4  # rich draws thrice between two looks
        final += screen.settle() if looked else screen.take()

        assert shown(final, screen) == terminal.rows()


TOKENS = st.one_of(
    st.text("abcdef 1é━損🔥", min_size=1, max_size=8).map(str.encode),
    st.sampled_from([b"\n", b"\n", b"\r", b"\b", b"\t"]),
    st.builds(b"\x1b[%d%c".__mod__, st.tuples(st.integers(1, 6), st.sampled_from(b"ABCDEFG"))),
    st.builds(b"\x1b[%d;%dm".__mod__, st.tuples(st.sampled_from([0, 1, 3, 22, 31, 97, 39]),
                                               st.sampled_from([4, 7, 24, 27, 35, 44, 49, 106]))),
    st.sampled_from([b"\x1b[m", b"\x1b[38;5;208m", b"\x1b[48;2;1;2;3m", b"\x1b[K", b"\x1b[1K",
                     b"\x1b[2K", b"\x1b[J", b"\x1b[?25l", b"\x1b]0;t\x07"]),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(TOKENS, max_size=30).map(b"".join))
def test_whatever_moves_erases_and_colours_draws_what_a_terminal_draws(wrote):
    terminal, screen = Terminal(), Screen()
    terminal.feed(wrote)
    screen.feed(wrote)

    drawn = (map(seen, rows) for rows in (shown(screen.take(), screen), terminal.rows()))
    assert [*next(drawn)] == [*next(drawn)]


def seen(row):
    """Return a row without what an erased column keeps of the style in a terminal."""
    return [(c, style if c != " " else PLAIN) for c, style in row]


@pytest.mark.parametrize(
    ("wrote", "ours", "its"),
    [
        pytest.param("e\u0301\rab", ["ab"], ["ab"], id="a combining character is a column here"),
        pytest.param("e\u0301x\ra", ["a\u0301x"], ["ax"], id="and so is overwritten apart"),
        pytest.param("\x1b[44mab\r\x1b[K", [], [], id="what was erased has no ground"),
        pytest.param("ab\x0bc", ["abc"], ["ab", "c"], id="a vertical tab is nothing here"),
        pytest.param("abc\r\x1b[2P", ["abc"], ["c"], id="deleting characters likewise"),
        pytest.param("a\nb\x1b[A\r\x1b[Mc", ["c", "b"], ["c"], id="deleting lines too"),
        pytest.param("x" * 201, ["x" * 201], ["x" * 200, "x"], id="a line is as long as it is"),
    ],
)
def test_what_no_bar_does_is_not_drawn_as_by_a_terminal(wrote, ours, its):
    terminal, screen = Terminal(), Screen()
    terminal.feed(wrote.encode())
    screen.feed(wrote.encode())

    drawn = ([text(row) for row in rows] for rows in (shown([], screen), terminal.rows()))
    assert (*drawn,) == (ours, its)


def text(row) -> str:
    return "".join(c for c, _ in row)
