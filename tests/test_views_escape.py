"""The one escape: nothing that passes it is markup, a script, or a terminal's command."""

from __future__ import annotations

import html.parser
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddp_magic.views import escape

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onfocus='alert(1)",
    "</pre></code></details>",
    "<scr\x1b[0mipt>alert(1)</script>",
    "&lt;script&gt;",
    "<!-- <![CDATA[ ]]> -->",
]


class Parsed(html.parser.HTMLParser):
    """What a page makes of HTML: its tags, with attributes, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("text", HOSTILE)
def test_markup_becomes_text_in_an_element_and_in_an_attribute(text):
    parsed = Parsed(f'<b title="{escape.html(text)}">{escape.html(text)}</b>')

    assert parsed.tags == [("b", {"title": escape.plain(text)})]
    assert parsed.text == escape.plain(text)


@given(st.text())
def test_any_text_stays_text(text):
    parsed = Parsed(f"<b title='{escape.html(text)}'>{escape.html(text)}</b>")

    assert [tag for tag, _ in parsed.tags] == ["b"]
    assert parsed.tags[0][1]["title"] == parsed.text == escape.plain(text)


PLAIN = [
    ("colours go", "\x1b[31mred\x1b[0m", "red"),
    ("a hyperlink keeps its text", "\x1b]8;;http://x/\x07link\x1b]8;;\x07", "link"),
    ("cursor moves go", "a\x1b[2J\x1b[999A\x1b[Hb", "ab"),
    ("a broken escape goes", "a\x1b[999", "a999"),
    ("tab and newline stay", "a\tb\nc\r\nd", "a\tb\nc\nd"),
    ("C1 controls show", "a\x9b31mb\x85", "a�31mb�"),
    ("bidirectional controls show", "a\u202eb\u2066c\u200fd\u061c", "a�b�c�d�"),
    ("line separators show", "a\u2028b\u2029c", "a�b�c"),
    ("half a surrogate pair shows", "a\ud800b", "a�b"),
    ("invisible tags show", "a\U000e0041b\ufeff", "a�b�"),
    ("what people write stays", "naïve 損失 ∇ 👩‍👧 עברית", "naïve 損失 ∇ 👩‍👧 עברית"),
]


@pytest.mark.parametrize(("text", "shown"), [c[1:] for c in PLAIN], ids=[c[0] for c in PLAIN])
def test_plain_text_is_what_one_sees(text, shown):
    assert escape.plain(text) == shown


def test_colours_are_kept_where_asked_and_end_with_the_text():
    text = "\x1b[1;31mred\x1b[>4m \x1b[2Jstill"

    assert escape.plain(text, sgr=True) == "\x1b[1;31mred still\x1b[0m"
    assert escape.plain("none", sgr=True) == "none"


@given(st.text(), st.booleans())
def test_no_control_is_left_but_colours(text, sgr):
    shown = escape.plain(text, sgr=sgr)

    bare = escape.plain(shown)
    assert all(c in "\n\t" or c.isprintable() or ord(c) >= 0xA0 for c in bare), bare
    assert ("\x1b" in shown) <= sgr
    shown.encode()


@given(st.text())
def test_neutral_text_keeps_its_length(text):
    assert len(escape.neutral(text)) == len(text)


def test_one_line_is_one_line_of_bounded_length():
    assert escape.line("a\n b\t\tc\r\nd") == "a b c d"
    assert escape.line("x" * 500, 10) == "x" * 9 + "…"
    assert escape.line("", 10) == ""


@given(st.recursive(st.text() | st.integers(), st.lists))
def test_json_in_a_script_cannot_end_it(value):
    text = escape.json_for_script({"v": value, "x": "</script><!--<script>]]>\u2028"})

    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text)["v"] == value
