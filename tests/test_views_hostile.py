"""Hostile text in every place that a view, a record or a page of the history has: it stays text."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ddp_magic.events import RunState
from ddp_magic.history.answering import page
from ddp_magic.history.asking import parse
from ddp_magic.history.html import html as history_html
from ddp_magic.history.store import Store
from ddp_magic.history.text import text as history_text
from ddp_magic.views.feed import Feed
from ddp_magic.views.html import HtmlView
from ddp_magic.views.picture import Picture
from ddp_magic.views.plain import PlainView
from tests import hostile
from tests.display import FakeControls, FakeDisplay
from tests.hostile import FORBIDDEN, TEXTS
from tests.records import record
from tests.test_views_escape import Parsed

RECORD = {"div", "b", "code", "details", "summary", "pre", "span", "img", "progress"}
HISTORY = {*RECORD, "style", "table", "caption", "thead", "tbody", "tr", "th", "td"} - {"progress"}
ATTRIBUTES = {
    *("style", "src", "alt", "open", "value", "max", "aria-label", "class", "scope", "tabindex")
}
SVG = "data:image/svg+xml;base64,"
LONGEST = 30_000


def check(shown: str, tags: set[str]) -> None:
    """Assert that HTML holds nothing but our elements, and that no page typesets a word of it."""
    shown.encode()
    assert not FORBIDDEN.search(shown)
    assert len(shown) < LONGEST
    for tag, attributes in Parsed(shown).tags:
        assert tag in tags
        assert set(attributes) <= ATTRIBUTES
        if tag == "img":
            image = str(attributes["src"])
            assert image.startswith(SVG)
            check_image(b64decode(image.removeprefix(SVG)).decode())
    outside = re.sub(r"(?s)<(code|pre|style)\b.*?</\1>|<[^>]*>", "", shown)
    assert not {"$", "\\"} & set(outside)


def check_image(svg: str) -> None:
    """Assert that an image is drawing and text."""
    for element in ET.fromstring(svg).iter():
        assert element.tag.rpartition("}")[2] in {"svg", "path", "g", "text"}
        assert not [name for name in element.attrib if name.startswith("on") or "href" in name]
    assert not FORBIDDEN.search(svg)


def check_text(shown: str) -> None:
    shown.encode()
    assert not FORBIDDEN.search(shown)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_html_view_and_the_record_show_text(text):
    display = FakeDisplay()
    view = HtmlView(display, FakeControls(f"{text}\n\nRank 0:\n{text}"))
    view.handle(hostile.begin(text))
    now = 1000.0
    for event in hostile.say(text):
        view.handle(event)
        now += 10
        view.tick(now)
    view.handle(hostile.end(text, text))
    view.close()
    assert len(display.handles[0].shown) > 10

    for bundle in display.handles[0].shown:
        check(bundle["text/html"], RECORD)
        check_text(bundle["text/plain"])


@pytest.mark.parametrize("state", [RunState.STOPPED, RunState.SUCCEEDED])
def test_why_a_run_ended_is_text_whatever_its_state(state):
    for text in TEXTS.values():
        view = HtmlView(display := FakeDisplay(), FakeControls())
        view.handle(hostile.begin(text))
        ended = hostile.end(text)
        view.handle(type(ended)(time=1.0, state=state, duration=1.0, summary=ended.summary))
        view.close()

        check(display.handles[0].shown[-1]["text/html"], RECORD)


def strings(value: Any) -> list[str]:
    """Return every string in a JSON value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [each for pair in value.items() for part in pair for each in strings(part)]
    return [s for part in value for s in strings(part)] if isinstance(value, list | tuple) else []


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_goes_to_the_panel_is_text_of_bounded_length(text):
    picture = Picture()
    feed = Feed(picture)
    messages = [feed.message(999.0)]
    for at, event in enumerate((hostile.begin(text), *hostile.say(text), hostile.end(text))):
        picture.handle(event)
        picture.settle(1000.0 + at)
        messages.append(feed.message(1000.0 + at))
    messages.append(feed.snapshot(2000.0))

    for message in filter(None, messages):
        json.dumps(message, ensure_ascii=False).encode()
        assert all(not FORBIDDEN.search(each) for each in strings(message))
        assert max(map(len, strings(message))) <= 1000


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_plain_view_shows_text(text):
    display = FakeDisplay()
    view = PlainView(display, FakeControls(text))
    for event in (hostile.begin(text, shown=(0, 1)), *hostile.say(text), hostile.end(text)):
        view.handle(event)
        view.tick(event.time)
    view.close()

    check_text(display.out)
    check_text(display.err)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_pages_of_the_history_show_text(text, tmp_path):
    store = Store(tmp_path / "runs")
    store.add(record(**hostile.fields(text)))
    store.add(record(**{k: v for k, v in hostile.fields(text).items() if k != "body"}))

    for line in ("", "1", "1 2"):
        blocks = list(page(parse(line), store, 1e9, on=True))
        shown = history_html(blocks).replace(str(tmp_path), "")
        check(shown if len(shown) < LONGEST else shown[: LONGEST - 1], HISTORY)
        check_text(history_text(blocks))
