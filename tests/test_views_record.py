"""The record: what a notebook keeps of a run, whatever the workers printed."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from xml.etree import ElementTree as ET

import nbformat
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook, new_output

from ddp_magic.events import Devices, Metrics, Notice, RunState
from ddp_magic.samples import GpuSample, WorkerSample
from ddp_magic.views.html import HtmlView
from ddp_magic.views.picture import NOTICES, Picture, duration, workers
from ddp_magic.views.record import record
from tests.display import FakeControls, FakeDisplay, ended, out, started
from tests.test_views_escape import Parsed

FAILED = ended(
    state=RunState.FAILED,
    summary="rank 1 failed: ValueError: diverged",
    cause="Traceback (most recent call last):\n  Cell In[7], line 3\nValueError: diverged",
    outputs=("history",),
    missing=("model: rank 0 was killed",),
    versions=("ddp_magic 0.1.0", "torch 2.13.0"),
)


def picture(*events):
    picture = Picture()
    for event in events:
        picture.handle(event)
    return picture


def test_the_text_reads_well_in_a_diff():
    drawn = record(
        picture(
            started(note="first try"),
            out("epoch 1\n\x1b[33mepoch 2\x1b[0m\n"),
            out("from one\n", 1),
            Notice(time=1.0, text="tensors came back on the CPU"),
            Notice(time=1.0, text="never communicated", warning=True),
            FAILED,
        )
    )

    assert drawn["text/plain"].splitlines() == [
        "%%ddp run-3 failed in 4.2 s",
        "2 workers on CPU · first try",
        "rank 1 failed: ValueError: diverged",
        "lr=0.05 → Trainer(lr)",
        "warning: never communicated",
        "tensors came back on the CPU",
        "in the notebook: history",
        "did not come back: model: rank 0 was killed",
        "logs: /tmp/ddp_magic-x/run-3/logs",
        "made with: ddp_magic 0.1.0, torch 2.13.0",
        "rank 0 · 2 lines",
        "  epoch 1",
        "  epoch 2",
    ]


def test_why_a_run_was_stopped_stands_in_its_title():
    text = record(picture(started(), ended(state=RunState.STOPPED, summary="interrupted")))

    assert text["text/plain"].splitlines()[:2] == [
        "%%ddp run-3 stopped in 4.2 s: interrupted",
        "2 workers on CPU",
    ]
    assert "stopped in 4.2 s: interrupted · 2 workers" in Parsed(text["text/html"]).text


def test_a_run_that_has_a_name_is_called_by_it():
    text = record(picture(started(name="a\x1b[31m & b"), ended()))

    assert text["text/plain"].startswith("%%ddp run-3 (a & b) succeeded in 4.2 s\n")
    assert "%%ddp run-3 (a & b) succeeded in 4.2 s" in Parsed(text["text/html"]).text


def test_the_html_says_the_same_and_has_a_block_for_each_rank():
    drawn = record(picture(started(), out("\x1b[31mred\x1b[0m\n"), out("from one\n", 1), FAILED))
    parsed = Parsed(drawn["text/html"])

    for text in (
        "%%ddp run-3 failed in 4.2 s · 2 workers on CPU",
        "lr=0.05 → Trainer(lr)",
        "rank 1 failed: ValueError: diverged",
        "in the notebook: history",
        "did not come back: model: rank 0 was killed",
        "made with: ddp_magic 0.1.0 · torch 2.13.0logs: /tmp/ddp_magic-x/run-3/logs",
        "rank 0 · 1 linered",
        "rank 1 · 1 linefrom one",
    ):
        assert text in parsed.text
    details = [attributes for tag, attributes in parsed.tags if tag == "details"]
    assert details == [{"open": None}, {}]
    assert "Traceback" not in parsed.text, "the cell's error says it"
    assert ("span", {"style": "color:#e0323c"}) in parsed.tags
    allowed = {"div", "b", "code", "details", "summary", "pre", "span"}
    assert {tag for tag, _ in parsed.tags} <= allowed


def test_a_running_run_has_a_record_too():
    drawn = record(picture(started(), out("\rstep 3")), now=1012.5)

    assert drawn["text/plain"].startswith("%%ddp run-3 starting for 12.5 s\n")
    assert "step 3" in drawn["text/html"]
    assert record(Picture())["text/plain"] == "%%ddp starting when this was saved"


def test_a_long_output_keeps_its_last_lines():
    drawn = record(picture(started(), out("".join(f"line {n}\n" for n in range(5000))), ended()))

    assert "rank 0 · last 40 of 5,000 lines" in drawn["text/plain"]
    assert "line 4960\n  line 4961" in drawn["text/plain"]
    assert drawn["text/plain"].endswith("line 4999")
    assert "line 4959" not in drawn["text/html"]


HEAVY = st.sampled_from(
    [
        "<\"&'>" * 900,
        '\x1b[1;31m"\x1b[0m<' * 400,
        "👩‍👧" * 900,
        "\x00\x9b" * 2000,
        "x" * 9000,
        "\n" * 500,
    ]
)
TEXT = st.text(max_size=30) | HEAVY


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_record_is_valid_and_below_its_limit_whatever_is_written(data):
    texts = st.lists(TEXT, max_size=30).map(tuple)
    world = data.draw(st.sampled_from([1, 2, 8, 64, 300]))
    begin = started(
        run_id=data.draw(TEXT),
        label=data.draw(TEXT),
        note=data.draw(TEXT),
        log_dir=data.draw(TEXT),
        overrides=data.draw(texts),
        devices=tuple(data.draw(TEXT) + str(n) for n in range(min(world, 9))),
        shown=data.draw(st.sampled_from([(0,), (0, 1), tuple(range(world))])),
    )
    output = [out(f"{data.draw(TEXT)}\n" * 60, rank) for rank in range(0, world, 1 + world // 8)]
    notices = [Notice(time=1.0, text=text, warning=len(text) % 2 == 0) for text in data.draw(texts)]
    end = ended(
        summary=data.draw(TEXT),
        cause=data.draw(TEXT) * 10,
        outputs=data.draw(texts),
        missing=data.draw(texts),
    )
    drawn = record(picture(begin, *output, *notices, end))

    output = new_output("display_data", data=drawn)
    notebook = new_notebook(cells=[new_code_cell("", outputs=[output])])
    nbformat.validate(notebook)
    empty = len(nbformat.writes(new_notebook(cells=[new_code_cell("")])).encode())
    assert len(nbformat.writes(notebook).encode()) - empty < 25_000


def test_the_html_view_draws_at_most_twice_a_second_and_ends_with_the_record():
    display = FakeDisplay()
    view = HtmlView(display, FakeControls())
    view.handle(started())
    for tick in range(60):
        view.handle(out(f"line {tick}\n"))
        view.tick(1001.0 + tick / 20)
    view.handle(ended())
    view.close()

    [handle] = display.handles
    assert len(handle.shown) == 1 + 5 + 1
    assert "running for" not in handle.shown[-1]["text/html"]
    assert "line 59" in handle.shown[-1]["text/html"]


def test_the_html_view_redraws_the_time_when_nothing_else_happens():
    display = FakeDisplay()
    view = HtmlView(display, FakeControls())
    view.handle(started())
    for tick in range(21 * 20):
        view.tick(1001.0 + tick / 20)

    assert len(display.handles[0].shown) == 5


def test_many_notices_keep_the_first_and_the_last():
    many = picture(*[Notice(time=1.0, text=str(n)) for n in range(50)])

    texts = [notice.text for notice in many.notices]
    assert len(texts) == NOTICES
    assert texts[0] == "0"
    assert texts[-1] == "49"
    assert texts.count("…") == 1


def test_durations_and_workers_are_said_in_words():
    assert [duration(s) for s in (0.04, 59.9, 59.96, 125, 3599.9, 7500)] == [
        "0.0 s",
        "59.9 s",
        "1 min 00 s",
        "2 min 05 s",
        "1 h 00 min",
        "2 h 05 min",
    ]
    assert workers(["CPU"]) == "1 worker on CPU"
    assert workers(["cuda:0 NVIDIA H200", "cuda:1 NVIDIA H200"]) == (
        "2 workers on cuda:0, cuda:1 (NVIDIA H200)"
    )
    assert workers(["cuda:0 NVIDIA A2", "cuda:1 NVIDIA H200"]) == (
        "2 workers on cuda:0 NVIDIA A2, cuda:1 NVIDIA H200"
    )
    assert workers([f"cuda:{n}" for n in range(12)]).endswith("cuda:6, …, cuda:11")


def reported(count, *names):
    for step in range(count):
        values = tuple((name, (1.0 + n) / (1 + step)) for n, name in enumerate(names))
        yield Metrics(time=1.0, rank=0, step=step, values=values)


def test_curves_are_an_image_in_html_and_blocks_in_text():
    drawn = record(picture(started(), *reported(300, "train_loss", "lr", "val_loss"), ended()))

    assert drawn["text/html"].count("<img ") == 1
    assert 'alt="Chart: train_loss 0.003333, val_loss 0.01"' in drawn["text/html"]
    assert "last: " in drawn["text/html"]
    text = drawn["text/plain"].splitlines()
    assert [line.split(" ")[0] for line in text[3:6]] == ["train_loss", "lr", "val_loss"]
    assert text[3].endswith(" 0.003333")
    assert set(text[3].split(" ")[1]) <= set("▁▂▃▄▅▆▇█")


def test_what_the_run_took_at_most_is_said():
    gpu = GpuSample(label="cuda:0 NVIDIA H200", used=12 * 10**9, total=141 * 10**9, busy=0.5)
    worker = WorkerSample(rank=1, cpu=1.0, memory=345_600_000)
    sampled = Devices(time=1.0, gpus=(gpu,), workers=(worker,))
    less = Devices(time=2.0, gpus=(replace(gpu, used=1),), workers=(replace(worker, memory=1),))
    html = record(picture(started(), sampled, less, ended()))["text/html"]

    assert (
        re.sub("<[^>]*>", "", html).find("peak memory: cuda:0 12 GB of 141 GB · rank 1 346 MB") > 0
    )


def test_names_of_metrics_cannot_make_the_record_large_or_dangerous():
    name = "</svg><script>" + "é\u202e" * 200
    names = [f"{n}{name}" for n in range(200)]
    drawn = record(picture(started(), *reported(500, "train" + name, "val" + name, *names), FAILED))

    assert sum(len(text.encode()) for text in drawn.values()) < 25_000
    assert "<script" not in drawn["text/html"]
    svg = b64decode(re.search(r"base64,([^\"]+)", drawn["text/html"])[1]).decode()
    assert "<script" not in svg
    assert "\u202e" not in svg + drawn["text/html"] + drawn["text/plain"]
    ET.fromstring(svg)
