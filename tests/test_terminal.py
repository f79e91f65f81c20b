"""The line model: what a terminal would show of the bytes that a rank wrote."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unicodedata import category, east_asian_width

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

from ddp_magic.row import columns
from ddp_magic.screen import COLUMNS, LIVE_ROWS, Line, Screen
from ddp_magic.sgr import PLAIN, TRUE_COLOUR, Effect, Style, restyle
from ddp_magic.terminal import KEEP, LEAP, RankTerminal

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Case:
    name: str
    wrote: bytes
    shown: list[str]


CASES = [
    Case("plain lines", b"a\nb\n", ["a", "b"]),
    Case("a last line without its newline", b"a\nb", ["a", "b"]),
    Case("Windows line ends", b"a\r\nb\r\n", ["a", "b"]),
    Case("blank lines between stay", b"a\n\n\nb\n", ["a", "", "", "b"]),
    Case("a carriage return overwrites", b"loss 0.5\rloss 0.4", ["loss 0.4"]),
    Case("a shorter text leaves the rest of the longer", b"12345\rab", ["ab345"]),
    Case("backspaces of Keras", b"1/10\b\b\b\b2/10", ["2/10"]),
    Case("backspace stops at the margin", b"a\b\b\bb", ["b"]),
    Case("tabs go to the next eighth column", b"ab\tc\t\td", ["ab      c               d"]),
    Case("a tab erases nothing", b"abcdefghij\r\tX", ["abcdefghXj"]),
    Case("a wide character takes two columns", "損失 9\rab".encode(), ["ab失 9"]),
    Case("half of a wide character is a blank", "損失\ra\x1b[5Gb\x1b[Kc".encode(), ["a 失bc"]),
    Case("erasing half of a wide character", "損失\x1b[4G\x1b[K|".encode(), ["損 |"]),
    Case("erase to the end of the line", b"12345\rab\x1b[K", ["ab"]),
    Case("erase to the start of the line", b"12345\x1b[3G\x1b[1K", ["   45"]),
    Case("erase the line", b"12345\r\x1b[2Kab", ["ab"]),
    Case("cursor-up reaches the line above", b"one\ntwo\x1b[A\rONE\n", ["ONE", "two"]),
    Case("cursor-up and erase below", b"a\nb\nc\n\x1b[2A\x1b[Jx\n", ["a", "x"]),
    Case("next and previous line", b"a\x1b[Eb\x1b[Fc", ["c", "b"]),
    Case("cursor right and left", b"a\x1b[3Cb\x1b[2Dc", ["a  cb"]),
    Case("home and clear redraw a dashboard", b"x 1\ny 1\x1b[H\x1b[2Jx 2\ny 2", ["x 2", "y 2"]),
    Case("a move to row and column", b"abc\ndef\x1b[1;2HX", ["aXc", "def"]),
    Case("cursor moves past the top stop there", b"a\x1b[9A\rb", ["b"]),
    Case("UTF-8", "précis → 損失\n".encode(), ["précis → 損失"]),
    Case("what is no UTF-8", b"a\xff\xfeb\n", ["a��b"]),
    Case("a title is dropped, BEL or ST", b"\x1b]0;t\x07a\x1b]2;u\x1b\\b", ["ab"]),
    Case("a hyperlink keeps its text only", b"\x1b]8;;http://x/\x1b\\t\x1b]8;;\x1b\\", ["t"]),
    Case("a string that never ends, ends with the line", b"a\x1b]0;title\nb", ["a", "b"]),
    Case("a device control string", b"\x1bPq#0;2\x1b\\a", ["a"]),
    Case("hidden cursor, charset, reset", b"\x1b[?25la\x1b(Bb\x1bc\x1b[?25h", ["ab"]),
    Case("bells and other controls", b"a\x07\x00\x0bb\x7f\xc2\x9bc", ["abc"]),
    Case("a broken escape costs itself only", b"\x1b[\nb\x1b[1\x01m", ["", "b1m"]),
    Case("an absurd count", b"a\x1b[99999999999D\x1b[999999999999Ab", ["b"]),
]


def shown(chunks: Iterable[bytes]) -> list[Line]:
    """Return everything that a screen shows of these chunks in the end."""
    screen = Screen()
    lines: list[Line] = []
    for chunk in chunks:
        screen.feed(chunk)
        lines += screen.take()
    return lines + screen.finish()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_screen_shows_what_a_terminal_would(case):
    assert [line.text for line in shown([case.wrote])] == case.shown


TOKENS = st.one_of(
    st.text(max_size=12).map(str.encode),
    st.binary(max_size=6),
    st.sampled_from([b"\n", b"\r", b"\b", b"\t", b"\x1b", b"\x1b[", b"\x1b]", b"\x1b\\", b"\x07"]),
    st.builds(
        b"\x1b[%s%c".__mod__,
        st.tuples(
            st.from_regex(rb"[0-9;:]{0,6}", fullmatch=True),
            st.sampled_from(b"ABCDEFGHJKdfm"),
        ),
    ),
)


@given(st.lists(TOKENS, max_size=40).map(b"".join), st.data())
def test_how_the_bytes_are_cut_into_chunks_changes_nothing(wrote, data):
    cuts = data.draw(st.lists(st.integers(0, len(wrote)), max_size=8).map(sorted))
    chunks = [wrote[a:b] for a, b in zip([0, *cuts], [*cuts, len(wrote)], strict=True)]

    assert shown(chunks) == shown([wrote]) == shown(wrote[i : i + 1] for i in range(len(wrote)))


@given(st.lists(TOKENS, max_size=60).map(b"".join))
def test_a_screen_is_bounded_and_its_runs_are_sorted_pieces_of_its_text(wrote):
    screen = Screen(columns=50)
    screen.feed(wrote)

    assert len(screen.live()) <= LIVE_ROWS
    for line in screen.finish():
        ends = [0] + [end for run in line.runs for end in run[:2]]
        assert ends == sorted(ends)
        assert ends[-1] <= len(line.text) <= 50
        assert "".join(text for text, _ in line.pieces()) == line.text
        assert "\x1b" not in line.text


def test_a_long_line_is_clipped_however_it_arrives():
    whole = shown([b"x" * (COLUMNS + 5)])

    assert whole == [Line("x" * (COLUMNS - 1) + "…")]
    assert shown([b"x" * COLUMNS]) == [Line("x" * COLUMNS)]
    assert shown([b"\x1b[9999C\x1b[1mx"]) == [Line(" " * (COLUMNS - 1) + "…")]


def nested_bars() -> bytes:
    """Return what real tqdm writes: two bars, one inside the other, and a print between."""
    out = io.StringIO()
    options = {"file": out, "ncols": 40, "mininterval": 0, "bar_format": "{desc} {n}/{total}"}
    for _ in tqdm(range(2), desc="epoch", position=0, **options):
        for _ in tqdm(range(3), desc="step", position=1, leave=False, **options):
            pass
        tqdm.write("saved", file=out)
    return out.getvalue().encode()


def test_nested_bars_of_tqdm_end_as_one_bar_below_what_was_written():
    lines = [line.text.rstrip() for line in shown([nested_bars()])]

    assert [line for line in lines if line] == ["saved", "saved", "epoch 2/2"]


def test_nested_bars_of_tqdm_are_two_rows_at_every_moment():
    wrote, screen, most = nested_bars(), Screen(), 0
    for at in range(len(wrote)):
        screen.feed(wrote[at : at + 1])
        rows = [line.text.split(" ")[0] for line in screen.live() if line.text.strip()]
        most = max(most, rows.count("epoch") + rows.count("step"))
        assert rows.count("epoch") <= 1
        assert rows.count("step") <= 1

    assert most == 2


def test_a_line_settles_at_once_until_a_bar_was_seen_and_a_bar_only_when_it_is_done():
    screen = Screen()
    screen.feed(b"first \x1b[31mred\x1b[0m\n")
    assert [line.text for line in screen.settle()] == ["first red"]
    assert screen.still
    screen.feed(b"\rstep 0\nprinted\n")
    assert not screen.still
    assert screen.settle() == []
    assert [line.text for line in screen.live()] == ["step 0", "printed"]
    screen.feed(b"\rstep 1")
    assert [line.text for line in screen.settle()] == ["step 0", "printed"]

    screen.feed(b"\rstep 2")
    assert screen.settle() == screen.settle() == []
    assert [line.text for line in screen.live()] == ["step 2"]


def test_a_bar_that_is_drawn_between_two_looks_keeps_its_rows():
    screen = Screen()
    screen.feed(b"\router 0\n")
    assert screen.settle() == []
    screen.feed(b"\rinner 0\x1b[A\router 1")
    for _ in range(5):
        assert screen.settle() == []

    assert [line.text for line in screen.live()] == ["outer 1", "inner 0"]


def test_bars_that_are_opened_while_somebody_looks_keep_their_rows():
    screen = Screen()
    screen.feed(b"\router\n")
    assert screen.settle() == []
    screen.feed(b"\rinner\x1b[A\n\n")
    assert screen.settle() == []
    screen.feed(b"\rinmost\x1b[A\x1b[A\router 1")

    assert [line.text for line in screen.live()] == ["outer 1", "inner", "inmost"]


def test_a_flood_leaves_without_waiting_for_a_look():
    screen = Screen()
    screen.feed(b"".join(b"%d\n" % i for i in range(1000)))

    final = screen.take()
    assert [line.text for line in final] == [str(i) for i in range(1001 - LIVE_ROWS)]
    assert len(screen.live()) == LIVE_ROWS - 1


COLOURS = [
    ("31", Style(fg=1)),
    ("1;92", Style(fg=10, effects=Effect.BOLD)),
    ("38;5;208", Style(fg=208)),
    ("38:5:208", Style(fg=208)),
    ("48;2;1;2;3", Style(bg=TRUE_COLOUR + 0x010203)),
    ("38;2;999;0;0", Style(fg=TRUE_COLOUR + 0xFF0000)),
    ("41;103", Style(bg=11)),
    ("31;39;42;49", PLAIN),
    ("3;4;7;9;23;24;27;29", PLAIN),
    ("1;2;22", PLAIN),
    ("5;8", PLAIN),
    ("31;", PLAIN),
    ("38", PLAIN),
    ("38;5", Style(fg=0)),
    ("38;7;1", Style(effects=Effect.BOLD)),
]


@pytest.mark.parametrize(("params", "style"), COLOURS)
def test_sgr_parameters_make_a_style(params, style):
    assert restyle(PLAIN, params) == style


def test_colours_are_runs_that_overwriting_cuts():
    [line] = shown([b"\x1b[31mred red red\x1b[0m\r\x1b[4C\x1b[32mGRE\x1b[m"])

    assert line == Line(
        "red GRE red", ((0, 4, Style(fg=1)), (4, 7, Style(fg=2)), (7, 11, Style(fg=1)))
    )
    assert [text for text, _ in line.pieces()] == ["red ", "GRE", " red"]


def test_every_wide_character_is_known_to_be_wide():
    wide = [char for char in map(chr, range(0x110000)) if east_asian_width(char) in "WF"]

    assert [c for c in wide if category(c) != "Cn" and len(columns(c)) != 2] == []
    assert columns("━█a é") == "━█a é"


def test_colours_lie_right_behind_wide_characters():
    [line] = shown(["損失\x1b[31m赤\x1b[0m x\x1b[32my".encode()])

    assert line == Line("損失赤 xy", ((2, 3, Style(fg=1)), (5, 6, Style(fg=2))))


def test_a_line_has_the_time_at_which_what_it_shows_was_begun():
    screen = Screen()
    for now, wrote in enumerate([b"a", b"b\n\rstep", b" 1\rstep 2\n", b"\nlate\n"], 1):
        screen.feed(wrote, float(now))

    assert [(line.text, line.time) for line in screen.finish()] == [
        ("ab", 1.0), ("step 2", 3.0), ("", 3.0), ("late", 4.0),
    ]  # fmt: skip


def test_a_private_sequence_that_ends_in_m_is_no_colour():
    assert shown([b"\x1b[31ma\x1b[>4;2mb"]) == [Line("ab", ((0, 2, Style(fg=1)),))]


def test_a_rank_joins_both_streams_in_one_log_and_keeps_bars_below():
    rank = RankTerminal()
    rank.feed("stderr", b"\rstep 1")
    rank.feed("stdout", b"epoch 1\n", now=5.0)
    rank.feed("stderr", b"\rstep 2", now=6.0)
    rank.settle()
    rank.settle()

    bar = Line("step 2", time=6.0)
    assert rank.delta(0, 10) == (0, [Line("epoch 1", time=5.0)], [bar])
    assert rank.delta(1, 10) == (1, [], [bar])
    assert [line.text for line in rank.tail(5)] == ["epoch 1", "step 2"]


def test_a_delta_holds_the_newest_lines_and_says_where_they_start():
    rank = RankTerminal()
    rank.feed("stdout", b"".join(b"%d\n" % i for i in range(KEEP + 500)))
    rank.finish()

    assert rank.total == KEEP + 500
    first, lines, live = rank.delta(100, 3)
    assert (first, [line.text for line in lines], live) == (2497, ["2497", "2498", "2499"], [])
    assert rank.delta(0, 10**6).first == 500


def test_missing_bytes_are_told_where_they_are_missing():
    rank = RankTerminal()
    rank.feed("stdout", b"a\nhalf a li")
    rank.feed("stdout", b"ne\nb\n", skipped=1234567)
    rank.finish()

    assert [line.text for line in rank.tail(9)] == [
        "a",
        "half a li",
        "… 1,234,567 bytes are not shown here, see the log …",
        "ne",
        "b",
    ]


def test_of_a_huge_chunk_only_the_end_is_read_and_every_line_is_counted():
    rank = RankTerminal()
    line = b"x" * 63 + b"\n"
    rank.feed("stdout", b"first\n" + line * (LEAP * 3 // len(line)) + b"last\n")
    rank.finish()

    assert rank.total == LEAP * 3 // len(line) + 2
    assert [line.text for line in rank.tail(2)] == ["x" * 63, "last"]
    assert rank.delta(0, 10**9).first == rank.total - KEEP
