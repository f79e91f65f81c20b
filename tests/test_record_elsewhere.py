"""The record on other sites and in other tools: what is left of it reads well."""

from __future__ import annotations

import difflib
import re

import nbformat
import pytest
from nbconvert import HTMLExporter, MarkdownExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output

from ddp_magic.events import Metrics, Notice, RunState, StateChanged
from ddp_magic.views.picture import Picture
from ddp_magic.views.record import record
from tests.display import ended, out, started
from tests.sanitisers import SITES
from tests.test_views_escape import Parsed

BLOCKS = re.compile(r"</?(div|p|pre|details|summary|table|tr|h\d|li|ul|br)\b[^>]*>")


def failed(loss: float = 0.5, took: float = 4.2) -> dict[str, str]:
    """Return the record of a run with something of everything."""
    picture = Picture()
    for event in (
        started(note="first try"),
        StateChanged(time=1.0, state=RunState.RUNNING),
        *[
            Metrics(time=1.0, rank=0, step=n, values=(("loss", 1 / n), ("val_loss", 2 / n)))
            for n in range(1, 40)
        ],
        out(f"epoch 1: \x1b[33mloss\x1b[0m {loss}\nepoch 2 <b>\n"),
        out("from one\nlast words\n", 1),
        Notice(time=1.0, text="Rank 1 was slow.", warning=True),
        ended(
            state=RunState.FAILED,
            duration=took,
            summary="rank 1 failed: ValueError: diverged",
            outputs=("history",),
            missing=("model: rank 0 was killed",),
        ),
    ):
        picture.handle(event)
    return record(picture)


def read(html: str) -> list[str]:
    """Return what one reads: a line for each block, an image as its text."""
    said = re.sub(r'<img\b[^>]*alt="([^"]*)"[^>]*>', r"\n[\1]\n", html)
    parsed = Parsed(BLOCKS.sub("\n", said))
    return [line.strip() for line in parsed.text.splitlines() if line.strip()]


READ = [
    "%%ddp run-3 failed in 4.2 s · 2 workers on CPU · first try",
    "rank 1 failed: ValueError: diverged",
    "lr=0.05 → Trainer(lr)",
    "warning: Rank 1 was slow.",
    "in the notebook: history",
    "did not come back: model: rank 0 was killed",
    "last: loss 0.02564 · val_loss 0.05128",
    "rank 0 · 2 lines",
    "epoch 1: loss 0.5",
    "epoch 2 <b>",
    "rank 1 · 2 lines",
    "from one",
    "last words",
    "logs: /tmp/ddp_magic-x/run-3/logs",
]
"""What is to be read everywhere."""
CHART = "[Chart: loss 0.02564, val_loss 0.05128]"


@pytest.mark.parametrize("site", SITES)
def test_what_a_site_leaves_reads_well(site):
    html = SITES[site](failed()["text/html"])
    lines = read(html)

    assert [line for line in lines if line != CHART] == READ
    assert (CHART in lines) == ("<img" in html)
    tags = Parsed(html).tags
    assert [tag for tag, _ in tags].count("pre") == 2, "no line of output runs into another"
    if site != "nbviewer":
        assert "style" not in {name for _, attributes in tags for name in attributes}
    if "details" in html:
        assert [a for tag, a in tags if tag == "details"] == [{"open": None}, {}]


def test_an_image_that_loses_its_address_is_still_read():
    html = SITES["GitHub by its published list"](failed()["text/html"])

    assert ("img", {"alt": CHART.strip("[]")}) in Parsed(html).tags


def notebook_of(data: dict[str, str]) -> nbformat.NotebookNode:
    output = new_output("display_data", data=data)
    made = new_notebook(cells=[new_code_cell("%%ddp -n 2\ntrain()", outputs=[output])])
    nbformat.validate(made)
    return made


def test_nbconvert_takes_the_record_as_it_is_into_html_and_markdown():
    data = failed()
    made = notebook_of(data)

    html, _ = HTMLExporter().from_notebook_node(made)
    markdown, _ = MarkdownExporter().from_notebook_node(made)

    told = read(data["text/html"])
    shown = read(html)
    assert shown[-len(told) :] == told
    assert data["text/html"].split() == markdown.split()[-len(data["text/html"].split()) :]


def test_nbconvert_that_sanitises_leaves_every_word():
    exporter = HTMLExporter(sanitize_html=True)
    html, _ = exporter.from_notebook_node(notebook_of(failed()))
    words = Parsed(html).text

    for said in ("failed", "rank 1 failed: ValueError: diverged", "epoch 2", "last words"):
        assert said in words


def test_two_runs_that_differ_a_little_differ_in_a_few_lines_of_text():
    before, after = (failed(*one)["text/plain"].splitlines() for one in ((0.5, 4.2), (0.7, 5.9)))
    changed = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]

    assert changed == [
        "- %%ddp run-3 failed in 4.2 s",
        "+ %%ddp run-3 failed in 5.9 s",
        "-   epoch 1: loss 0.5",
        "+   epoch 1: loss 0.7",
    ]
    assert max(map(len, before)) < 100
