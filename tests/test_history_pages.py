"""%ddp_runs: its line, what it chooses, what it compares, and its pages as HTML and as text."""

from __future__ import annotations

import math
import os
import re
from typing import Any

import pytest

from ddp_magic.errors import OptionError
from ddp_magic.history.answering import page
from ddp_magic.history.asking import parse
from ddp_magic.history.changes import changes, definitions
from ddp_magic.history.choosing import choose, loss_like
from ddp_magic.history.html import html
from ddp_magic.history.listing import listing, when
from ddp_magic.history.records import RunRecord
from ddp_magic.history.store import Store
from ddp_magic.history.text import text
from tests.records import MODULE, curve, record
from tests.scripted_run import HOSTILE
from tests.test_views_escape import Parsed

NOW = 1_000_000.0 + 3600
RUNS = [
    record(number=1, name="base", note="Old", overrides=("lr=0.1 → T(lr)",), duration=9.0),
    record(number=2, state="failed", summary="rank 1 failed: ValueError: nan", metrics=()),
    record(
        number=3, metrics=(curve("loss", 1.0, 0.2), curve("acc", 0.5, 0.9)), notebook="/a/b.ipynb"
    ),
    record(number=4, metrics=(curve("loss", 1.0, math.nan), curve("acc", 0.5, 0.7))),
    record(
        number=5, metrics=(curve("loss", 1.0, 0.5),), overrides=("lr=1e-2 → T(lr)", "n=a b → n")
    ),
]


def chosen(line: str) -> list[int]:
    return [run.number for run in choose(parse(line), RUNS[::-1])[0]]


@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        ("", [5, 4, 3, 2, 1]),
        ("last=2", [5, 4]),
        ("last=all", [5, 4, 3, 2, 1]),
        ("state=failed", [2]),
        ("name=BAS", [1]),
        ("notebook=b.ipynb", [3]),
        ("lr=0.01", [5]),
        ("lr=1e-2", [5]),
        ("n='a b'", [5]),
        ("valueerror", [2]),
        ("old base", [1]),
        ("nothing of that", []),
        ("state=succeeded last=2", [5, 4]),
        ("sort=loss", [3, 5, 1, 4, 2]),
        ("sort=-loss", [1, 5, 3, 4, 2]),
        ("sort=-acc last=all", [3, 4, 5, 2, 1]),
        ("sort=-duration last=3", [5, 4, 3]),
        ("sort=-took", [1, 5, 4, 3, 2]),
        ("sort=number", [1, 2, 3, 4, 5]),
    ],
)
def test_a_line_chooses(line: str, numbers: list[int]):
    assert chosen(line) == numbers


def test_twenty_of_many_are_listed_and_no_more_are_read():
    read: list[int] = []

    def runs():
        for number in range(100, 0, -1):
            read.append(number)
            yield record(number=number)

    found, count = choose(parse(""), runs())

    assert [run.number for run in found] == read == list(range(100, 80, -1))
    assert count == -1
    assert len(choose(parse("sort=loss"), runs())[0]) == 20


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("state=fail", "fail is no state that a run ends in. Did you mean failed?"),
        ("state=x", "x is no state that a run ends in. Write state=failed."),
        ("stat=failed", "stat is neither a filter nor an override of any run. Did you mean state?"),
        ("epochs=3", "epochs is neither a filter nor an override of any run. Write state=failed."),
        ("sort=los", "los is neither a metric of any run nor a column. Did you mean loss?"),
        ("sort=x", "x is neither a metric of any run nor a column. Write sort=duration."),
        ("last=0", "last=0 is no number of runs. Write last=50, or last=all."),
        ("last=many", "last=many is no number of runs. Write last=50, or last=all."),
        ("--delet 3", "--delet is no option of %ddp_runs. Did you mean --delete?"),
        ("-x", "-x is no option of %ddp_runs. Write --delete 12."),
        ("--delete", "--delete takes numbers of runs. Write --delete 12, or --delete 3-9."),
        ("--delete all", "--delete takes numbers of runs. Write --delete 12, or --delete 3-9."),
        (
            "--clear 3",
            "--clear deletes every run and takes nothing else. Write --delete 12 14 for some.",
        ),
        (
            "12 state=failed",
            (
                "%ddp_runs takes numbers of runs or words to look for, not 12 with state=failed. "
                "Write %ddp_runs 12, or %ddp_runs state=failed."
            ),
        ),
        (
            "1-9",
            "9 runs do not fit side by side. Choose 1 to 8, as in %ddp_runs --compare last=2.",
        ),
        ("9-1", "9-1 is no range of runs. Write the lower number first, as 3-9."),
        (
            "name='two",
            "A quotation is not closed on the %ddp_runs line. Write name='two words'.",
        ),
    ],
)
def test_a_bad_word_is_refused_with_what_to_write(line: str, told: str):
    with pytest.raises(OptionError) as error:
        choose(parse(line), RUNS[::-1])

    assert str(error.value) == told


@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        ("12", (12,)),
        ("#12 15", (12, 15)),
        ("3-5 4", (3, 4, 5)),
        ("--delete 1-200", (*range(1, 201),)),
    ],
)
def test_numbers_choose_runs(line: str, numbers: tuple[int, ...]):
    asked = parse(line)

    assert asked.numbers == numbers
    assert asked.delete is line.startswith("--delete")


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (("acc", "loss"), "loss"),
        (("acc", "val_loss"), "val_loss"),
        (("val_loss", "train/loss"), "train/loss"),
        (("acc", "eval/MAE"), "eval/MAE"),
        (("acc", "f1"), "acc"),
        ((), ""),
    ],
)
def test_the_curve_that_tells_most_is_a_loss(names: tuple[str, ...], first: str):
    assert loss_like([record(metrics=tuple(curve(name) for name in names))]) == first


@pytest.mark.parametrize(
    ("ago", "told"),
    [(-5, "just now"), (59, "just now"), (61, "1 min ago"), (3 * 3600, "3 h ago"),
     (86400 * 29, "29 d ago"), (86400 * 40, "2001-07-31"), (1e300, "long ago")],
)  # fmt: skip
def test_when_a_run_was(ago: float, told: str):
    assert when(1_000_000_000.0 - ago, 1_000_000_000.0).replace("2001-07-30", "2001-07-31") == told


def test_the_list_has_columns_for_what_there_is():
    table = listing(RUNS[::-1], NOW)
    plain = text([table]).strip().splitlines()

    assert table.heads == (
        "run", "when", "name", "state", "took", "overrides", "loss", "acc", "loss curve", "note",
        "workers", "cell",
    )  # fmt: skip
    assert plain[0].split() == " ".join(table.heads).split()
    assert [line.split()[0] for line in plain[1:]] == ["5", "4", "3", "2", "1"]
    failed = r"failed +4\.2 s +lr=0\.1 +rank 1 failed: ValueError: nan +2 CPU +In\[7\]"
    assert re.search(failed, plain[4])
    assert re.search(r" nan +0\.7 +█? ?▅ +2 CPU", plain[2])
    assert listing([record(number=1, metrics=(), overrides=())], NOW).heads == (
        "run", "when", "state", "took", "workers", "cell",
    )  # fmt: skip


def test_what_is_sorted_by_stands_first():
    table = listing(RUNS[::-1], NOW, "acc")

    assert table.heads[-6:-3] == ("acc", "loss", "acc curve")


# -- what has changed ------------------------------------------------------------------------------


def changed(module: str = MODULE, body: str = record().body) -> dict[str, str]:
    found = changes(record(), record(module=module, body=body))
    return {change.name: change.kind for change in found}


def test_definitions_have_their_names_and_not_what_loads_them():
    found = definitions(MODULE)

    assert list(found) == ["imports", "width", "Net", "data"]
    assert found["imports"] == "import math\nimport torch"
    assert found["data"] == 'data = take("data")  # data: list, 33 B'
    assert found["Net"].startswith("class Net:\n")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("x * width", "x + width", {"Net": "changed"}),
        ("width = 16", "width = 32", {"width": "changed"}),
        ("import torch", "import json", {"imports": "changed"}),
        ("import math\nimport torch", "import torch\nimport math", {}),
        ("33 B", "66 B", {"data": "changed"}),
        ("Cell In[2]", "Cell In[9]", {}),
        ("# Cell In[3]", "# Cell In[8]", {}),
        ("lr=0.1", "lr=0.2", {}),
        ("on 2 workers", "on 4 workers", {}),
        ("class Net", "@final\nclass Net", {"Net": "changed"}),
        ("width = 16\n", "", {"width": "removed"}),
        ("width = 16\n", "width = 16\ndepth = 2\n", {"depth": "added"}),
        ("class Net:", "class (:", {"imports": "removed", "width": "removed", "Net": "removed",
                                    "data": "removed", "the module": "added"}),
    ],
)  # fmt: skip
def test_only_what_the_program_is_counts_as_a_change(old: str, new: str, expected: dict[str, str]):
    assert old in MODULE
    assert changed(MODULE.replace(old, new)) == expected


def test_the_cell_comes_first_and_its_lines_are_shown():
    found = changes(record(), record(body="trainer = Trainer(2)\ntrainer.train()\n", module=""))

    assert found[0].name == "the cell"
    assert found[0].lines == (
        "@@ -1,2 +1,2 @@",
        "-trainer = Trainer()",
        "+trainer = Trainer(2)",
        " trainer.train()",
    )


def test_huge_texts_are_not_compared_line_by_line():
    body = "\n".join(map(str, range(5000)))
    (change,) = changes(record(), record(body=body))

    assert change.lines == ("@@ 2 lines, now 5000: too many to compare @@",)


# -- pages -----------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


def drawn(store: Store, line: str, *, on: bool = True) -> tuple[str, str]:
    blocks = list(page(parse(line), store, NOW, on=on))
    return html(blocks), text(blocks)


def test_a_list_says_how_many_more_there_are(store: Store):
    for run in RUNS:
        store.add(run)
    (store.folder / "6.json.gz").write_bytes(b"broken")
    _, plain = drawn(store, "last=2")
    _, found = drawn(store, "state=succeeded last=1", on=False)

    assert "2 of 5 runs; last=5 shows all. %ddp_runs with two numbers compares" in plain
    assert f"1 cannot be read. Kept in {store.folder}." in plain
    assert "1 of 4 runs; last=4 shows all." in found
    assert "Runs leave no record now: %ddp_config history=on changes that." in found
    assert drawn(store, "nothing")[1].startswith("No run fits.\n")


def test_a_run_whose_code_is_damaged_or_gone_is_listed_all_the_same(store, monkeypatch):
    for run in RUNS:
        store.add(run)
    os.truncate(store.folder / "3.json.gz", (store.folder / "3.json.gz").stat().st_size - 20)
    _, plain = drawn(store, "sort=loss last=all")
    monkeypatch.setattr(store, "read", lambda number: None)

    assert [line.split()[0] for line in plain.splitlines()[2:7]] == ["3", "5", "1", "4", "2"]
    assert "0.2" in drawn(store, "sort=loss last=all")[1]
    with pytest.raises(OptionError, match="Run 3 cannot be read"):
        drawn(store, "3")


def test_one_run_is_shown_whole(store: Store):
    store.add(record(name="base", note="Old", peaks={"rank 0": "1.0 GiB"}))
    page_html, plain = drawn(store, "1")
    parsed = Parsed(page_html)

    for told in ("Run 1 base succeeded in 4.2 s", "In[7] · 2 workers on CPU", "Old",
                 "lr=0.1 → Trainer(lr)", "at most: rank 0 1.0 GiB", "Python 3.11.2",
                 "trainer = Trainer()", "class Net:"):  # fmt: skip
        assert told in plain
        assert told in parsed.text
    assert "loss  █▅▁" in plain
    assert [a["alt"] for tag, a in parsed.tags if tag == "img"] == ["the curve of loss"]
    assert "<details open><summary>The cell</summary>" in page_html
    assert "<details><summary>The module, without its values</summary>" in page_html


def test_runs_side_by_side_show_what_differs(store: Store):
    store.add(record(name="a"))
    store.add(record(overrides=("lr=0.2 → Trainer(lr)", "n=2 → n"), versions={"Python": "3.12.0"},
                     devices=("cuda:0 X", "cuda:1 X"), module=MODULE.replace("16", "32"),
                     metrics=(curve("loss", 4.0, 0.5), curve("acc", 0.1, 0.2))))  # fmt: skip
    page_html, plain = drawn(store, "1 2")
    rows = [re.split(r"  +", line) for line in plain.splitlines()]

    assert ["name", "a"] in rows
    assert ["Python", "3.11.2", "3.12.0"] in rows
    assert ["lr", "0.1", "0.2"] in rows
    assert ["n", "-", "2"] in rows
    assert ["workers", "2 CPU", "2 X"] in rows
    assert ["loss", "1", "0.5"] in [[cell for cell in row if cell] for row in rows]
    assert "Code, from 1 to 2: width changed" in plain
    assert "-width = 16\n+width = 32" in plain
    assert [a["alt"] for t, a in Parsed(page_html).tags if t == "img"] == [
        "loss: 1 a, 2", "acc: 2",
    ]  # fmt: skip
    assert '<span style="color:#1f883d">+width = 32</span>' in page_html


def test_equal_runs_are_said_to_be_equal(store: Store):
    store.add(record())
    store.add(record())
    plain = drawn(store, "1 2")[1]

    assert "The same in all: 2 CPU, ddp_magic 0.1.0, Python 3.11.2, lr=0.1" in plain
    assert plain.rstrip().endswith("The code of 1 and 2 is the same.")


def test_the_tables_are_tables_for_a_screen_reader(store: Store):
    for run in RUNS:
        store.add(run)
    tags = Parsed(drawn(store, "")[0]).tags

    assert [tag for tag, _ in tags].count("caption") == 1
    scopes = [attributes.get("scope") for tag, attributes in tags if tag == "th"]
    assert scopes == ["col"] * 12 + ["row"] * 5
    assert all(attributes["alt"] for tag, attributes in tags if tag == "img")


HARMLESS = {
    "div", "style", "table", "caption", "thead", "tbody", "tr", "th", "td", "b", "span", "code",
    "img", "details", "summary", "pre",
}  # fmt: skip
FIELDS: dict[str, Any] = {
    "name": HOSTILE,
    "note": HOSTILE,
    "notebook": HOSTILE,
    "cell": HOSTILE,
    "state": HOSTILE,
    "summary": HOSTILE,
    "devices": (HOSTILE, HOSTILE),
    "overrides": (HOSTILE, f"{HOSTILE}=1 → {HOSTILE}"),
    "metrics": (curve(HOSTILE), curve(HOSTILE + "2", 1.0, math.inf), curve("", math.nan)),
    "peaks": {HOSTILE: HOSTILE},
    "versions": {HOSTILE: HOSTILE},
    "module": f"# {HOSTILE}\nx = '''{HOSTILE}'''\n",
    "body": HOSTILE,
}


@pytest.mark.parametrize("line", ["", "1", "1 2", "2 1 3", "sort=loss", "lr=0.1"])
@pytest.mark.parametrize("field", [*FIELDS, "all"])
def test_hostile_text_stays_text(store: Store, field: str, line: str):
    facts = FIELDS if field == "all" else {field: FIELDS[field]}
    store.add(record(**facts))
    store.add(record())
    store.add(record(**{k: v for k, v in facts.items() if k != "overrides"}))
    page_html, plain = drawn(store, line)
    tags = Parsed(page_html).tags

    assert {tag for tag, _ in tags} <= HARMLESS
    for tag, attributes in tags:
        assert set(attributes) <= {"class", "style", "scope", "src", "alt", "open"}
        if tag == "img":
            assert str(attributes["src"]).startswith("data:image/svg+xml;base64,")
    for shown in (page_html, plain):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    # no page typesets what stands in code and pre; alt texts and styles are no text of the page
    outside = re.sub(r"(?s)<(code|pre|style)\b.*?</\1>|<[^>]*>", "", page_html)
    assert "$" not in outside
    assert max(map(len, plain.splitlines()), default=0) < 3000


def test_numbers_that_are_none_do_no_harm(store: Store):
    odd = (curve("a", math.inf, -math.inf), curve("b", 1e308, -1e308), curve("c", 5e-324, 0.0))
    store.add(record(started=-1e300, duration=1e300, metrics=odd))
    store.add(RunRecord(started=0.0, duration=-5.0, state=""))

    for line in ("", "1", "1 2", "2"):
        page_html, plain = drawn(store, line)
        assert page_html
        assert plain


def test_the_page_of_twenty_runs_and_of_a_comparison_are_small(store: Store):
    y = [3.0 / (1 + n / 9) + 0.1 * math.sin(n) for n in range(100)]
    for n in range(20):
        metrics = (curve("loss", *y), curve("acc", *y[::-1]))
        store.add(record(name=f"run {n}", note="a note of some words", metrics=metrics))

    assert len(drawn(store, "")[0]) < 30_000
    assert len(drawn(store, "1 2")[0]) < 20_000
