"""Hostile text in real Chromium, wherever it is shown: it runs nothing, asks for nothing, is text.

One page of JupyterLab for what is live, one for the saved notebook where it is not trusted, and one
for nbconvert's HTML and the images in it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import nbformat
import pytest
from nbconvert import HTMLExporter

from tests.hostile import FORBIDDEN, HOST, TEXTS
from tests.test_record_elsewhere import READ, failed, notebook_of

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from tests.browser import Notebook

pytestmark = pytest.mark.browser

PREPARE = """
import os
os.environ.update(DDP_MAGIC_STANDBY="0", XDG_STATE_HOME=os.path.abspath("state"))
%load_ext ddp_magic
from ddp_magic.history.store import Store, place
from tests import hostile
from tests.display import FakeControls
from tests.records import record
from tests.scripted_run import *
every = "\\n".join(hostile.TEXTS.values())
FakeControls.stacks = lambda self: f"{every}\\n\\nRank 0:\\n{every}"
for text in hostile.TEXTS.values():
    Store(place()).add(record(**hostile.fields(text)))
"""
RUN = """
play([*hostile.steps(hostile.SHORT[{at}]), Until("{go}")], kind="{kind}",
     end=hostile.end(*hostile.TEXTS.values()))
"""
CELLS = {
    "prepare": PREPARE,
    "panel": RUN.format(at=0, go="panel", kind="widget"),
    "html": RUN.format(at=1, go="html", kind="html"),
    "typeset": RUN.format(at=2, go="html", kind="html"),
    "runs": "%ddp_runs last=all",
    "some": "%ddp_runs 1-8",
    "others": "%ddp_runs 16-23",
    "one": "%ddp_runs 18",
}
AT = {name: at for at, name in enumerate(CELLS)}
RECORD = {"div", "b", "code", "details", "summary", "pre", "span", "img", "progress"}
TABLE = {"table", "caption", "thead", "tbody", "tr", "th", "td"}
HISTORY = RECORD | TABLE | {"style"}
PANEL = {
    *("style", "div", "span", "b", "button", "input", "label", "pre", "progress", "figure"),
    *(
        "details",
        "summary",
        "figcaption",
        "svg",
        "polyline",
        "line",
        "circle",
        "rect",
        "path",
        "g",
        "text",
        "title",
    ),
}
ALLOWED = {
    "panel": PANEL,
    "record": RECORD,
    "html": RECORD,
    "html, in the end": RECORD,
    "typeset": RECORD,
    **dict.fromkeys(("runs", "some", "others", "one"), HISTORY),
}
ADDRESSES = {"src", "href", "xlink:href", "srcset", "srcdoc", "action", "formaction", "data"}
LOOK = """area => [...area.querySelectorAll("*")].map(node => [
    node.tagName.toLowerCase(), [...node.attributes].map(each => [each.name, each.value]),
])"""

SEEN = """area => {
    area.scrollIntoView();
    return area.innerText.includes("pwned=1") || area.querySelectorAll("*").length == 1;
}"""


@dataclass(frozen=True)
class Look:
    """What stands in an area of a page: elements with their attributes, and text."""

    elements: list[tuple[str, list[tuple[str, str]]]]
    text: str

    @classmethod
    def at(cls, area: Locator) -> Self:
        return cls(area.evaluate(LOOK), area.inner_text())

    def check(self, tags: set[str]) -> None:
        """Assert that these are our elements and nobody else's, and that the text is text."""
        for tag, attributes in self.elements:
            assert tag in tags
            for name, value in attributes:
                assert not name.startswith("on"), (tag, name)
                if name in ADDRESSES:
                    assert (tag, name) == ("img", "src")
                    assert value.startswith("data:image/svg+xml;base64,")
        assert not FORBIDDEN.search(self.text)


@dataclass
class Live:
    """What the live page showed, what it did, and what it saved."""

    looks: dict[str, Look] = field(default_factory=dict[str, Look])
    outputs: dict[str, Any] = field(default_factory=dict[str, Any])
    harm: list[Any] = field(default_factory=list[Any])
    saved: nbformat.NotebookNode = field(default_factory=nbformat.NotebookNode)


def harm(notebook: Notebook) -> list[Any]:
    """Return what a page should not have done."""
    ran = [frame.url for frame in notebook.page.frames if frame.evaluate("window.pwned")]
    asked = [url for url in notebook.asked if HOST in url]
    return [*ran, *notebook.dialogs, *asked, *notebook.problems]


@pytest.fixture(scope="module")
def live(server) -> Live:
    """A page on which everything was shown, closed again."""
    live = Live()
    notebook = server.open(list(CELLS.values()))
    notebook.run(AT["prepare"])

    output = notebook.run(AT["panel"], wait=False)
    panel = output.locator(".ddp-magic")
    panel.locator(".ddp-reason", has_text="onerror=pwned").wait_for()
    panel.locator(".ddp-chart").first.wait_for()
    panel.locator(".ddp-device").first.wait_for()
    panel.get_by_role("tab", name="all").click()
    panel.get_by_role("button", name="stacks").click()
    panel.locator(".ddp-stacks-text", has_text="<script>").wait_for()
    panel.locator(".ddp-chart svg").first.hover()
    live.looks["panel"] = Look.at(panel)
    live.outputs["panel"] = notebook.save().cells[AT["panel"]].outputs
    (server.root / "panel").touch()
    notebook.wait_for_end()
    record = output.locator(".jp-RenderedHTML").first
    record.get_by_text("failed", exact=True).wait_for()
    live.looks["record"] = Look.at(record)

    record = notebook.run(AT["html"], wait=False).locator(".jp-RenderedHTML")
    record.locator("summary", has_text="stacks").wait_for()
    live.looks["html"] = Look.at(record)
    live.outputs["html"] = notebook.save().cells[AT["html"]].outputs
    (server.root / "html").touch()
    notebook.wait_for_end()
    live.looks["html, in the end"] = Look.at(record)

    for name in ("typeset", "runs", "some", "others", "one"):
        area = notebook.run(AT[name]).locator(".jp-RenderedHTML")
        area.locator("summary, caption").first.wait_for()
        live.looks[name] = Look.at(area)
    live.harm = harm(notebook)
    live.saved = notebook.save()
    notebook.close()
    return live


def test_what_is_live_runs_nothing_and_asks_for_nothing(live):
    assert live.harm == []
    shown = {name: look.text for name, look in live.looks.items()}
    for name in ("a script", "handlers", "mathematics", "JSON", "entities"):
        assert TEXTS[name] in shown["panel"]
    assert [name for name, text in shown.items() if "pwned=1" not in text] == []


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_live_is_our_elements_and_text(live, name):
    live.looks[name].check(ALLOWED[name])


def test_a_saved_notebook_that_is_not_trusted_shows_text(server, live):
    made = deepcopy(live.saved)
    made.cells[0].source += "\n# another text, which has no signature of this server"
    made.cells[0].outputs = [*live.outputs["panel"], *live.outputs["html"]]
    made.cells.append(notebook_of(failed()).cells[0])
    nbformat.validate(made)
    path = server.root / "untrusted.ipynb"
    nbformat.write(made, path)
    notebook = server.open(path)
    cells = "window.jupyterapp.shell.currentWidget.content.widgets"
    for name, at in AT.items():
        areas = notebook.output(at).locator(".jp-RenderedHTML:not(:empty)")
        areas.first.scroll_into_view_if_needed()
        areas.locator("summary, caption, code").first.wait_for()
        assert not notebook.page.evaluate(f"{cells}[{at}].model.trusted")
        for (
            area
        ) in areas.all():  # each has text only where it is seen, but for what would revive it
            notebook.until(SEEN, area.element_handle())
            look = Look.at(area)
            look.check(HISTORY if ALLOWED.get(name) is HISTORY else RECORD)
            assert "pwned=1" in look.text or len(look.elements) == 1

    record = notebook.output(len(CELLS)).locator(".jp-RenderedHTML").first
    record.scroll_into_view_if_needed()
    image = record.locator("img")
    image.wait_for()
    assert image.evaluate("image => image.naturalWidth") == 460
    # what is folded is not seen
    assert record.inner_text().split("\n") == [
        line for line in READ if line not in ("from one", "last words")
    ]
    assert harm(notebook) == []
    notebook.close()


def test_nbconvert_and_the_images_alone_show_drawings_and_text(server, live, tmp_path):
    page = server.browser.new_context().new_page()
    asked: list[str] = []
    dialogs: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.route(re.compile("^https?:"), lambda route: route.abort())  # MathJax and the like
    made = live.saved
    html, _ = HTMLExporter().from_notebook_node(made)
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    areas = page.locator(".jp-RenderedHTML:not(:has(> script))")
    assert areas.count() >= len(CELLS) - 1
    for area in areas.all():
        Look.at(area).check(HISTORY)
    assert page.evaluate("window.pwned") is None

    shown = "".join(o.get("data", {}).get("text/html", "") for c in made.cells for o in c.outputs)
    images = [b64decode(data).decode() for data in re.findall(r"svg\+xml;base64,([^\"]+)", shown)]
    assert len(images) > 10
    page.set_content("".join(images))  # as nobody does: not as images
    Look.at(page.locator("body")).check(PANEL)
    assert page.evaluate("window.pwned") is None
    for image in (max(images, key=len), *[i for i in images if "script" in i][:1]):
        (tmp_path / "image.svg").write_text(image, encoding="utf-8")
        page.goto((tmp_path / "image.svg").as_uri())
        assert page.evaluate("[document.documentElement.tagName, window.pwned]") == ["svg", None]
    assert [url for url in asked if HOST in url] == []
    assert dialogs == []
    page.context.close()
