"""Curves as SVG and as blocks: whatever the numbers and names are."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddp_magic.views.axis import Axis
from ddp_magic.views.chart import POINTS, Curve, chart, image, spark, sparkline
from tests.scripted_run import HOSTILE
from tests.test_views_escape import Parsed

SVG = "{http://www.w3.org/2000/svg}"
STEPS = [float(10 * n) for n in range(1, 101)]


def loss(rate: float) -> list[float]:
    return [3 * math.exp(-rate * n / 100) + 0.02 * math.sin(n) + 0.1 for n in range(100)]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def lines(svg: str) -> list[ET.Element]:
    return [path for path in ET.fromstring(svg).iter(f"{SVG}path") if path.get("transform")]


def test_two_curves_of_a_hundred_points_are_small_and_named():
    drawn = chart(
        [Curve(name="12 baseline", x=STEPS, y=loss(3)), Curve(name="15", x=STEPS, y=loss(1))],
        title="train/loss",
    )
    html = image(drawn, "train/loss: 12 baseline, 15")

    assert texts(drawn)[:3] == ["train/loss", "12 baseline", "15"]
    assert {"1", "2", "3", "200", "1000"} <= set(texts(drawn))
    assert len(lines(drawn)) == 2
    assert len(html) <= 6000
    ((tag, attributes),) = Parsed(html).tags
    assert (tag, attributes["alt"]) == ("img", "train/loss: 12 baseline, 15")
    assert str(attributes["src"]).startswith("data:image/svg+xml;base64,")


def test_one_curve_has_its_title_and_no_legend():
    assert texts(chart([Curve(name="loss", x=STEPS, y=loss(1))], title="loss")).count("loss") == 1


def test_a_ghost_is_dashed_and_lies_behind():
    drawn = chart(
        [
            Curve(name="now", x=STEPS, y=loss(1)),
            Curve(name="before", x=STEPS, y=loss(2), ghost=True),
        ]
    )
    behind, front = lines(drawn)

    assert behind.get("stroke-dasharray")
    assert behind.get("opacity")
    assert front.get("stroke-dasharray") is None
    assert behind.get("stroke") != front.get("stroke")


def test_a_run_keeps_its_colour_in_every_chart():
    both = chart([Curve(name="a", x=[1, 2], y=[1, 2]), Curve(name="b", x=[1, 2], y=[2, 1])])
    alone = chart([Curve(name="b", x=[1, 2], y=[2, 1], colour=1)])

    assert lines(alone)[0].get("stroke") == lines(both)[0].get("stroke")


def test_names_that_do_not_fit_go_to_another_line_and_the_picture_grows():
    few = chart([Curve(name=f"run {n}", x=[1, 2], y=[n, 1]) for n in range(2)])
    many = chart([Curve(name=f"the {n}. of many runs", x=[1, 2], y=[n, 1]) for n in range(8)])

    assert int(ET.fromstring(many).get("height") or 0) > int(ET.fromstring(few).get("height") or 0)
    width = int(ET.fromstring(many).get("width") or 0)
    for text in ET.fromstring(many).iter(f"{SVG}text"):
        assert float(text.get("x") or 0) < width


@pytest.mark.parametrize(
    ("values", "log", "labels"),
    [
        ([1000.0, 0.5], True, ["1", "10", "100", "1000"]),
        ([1e-9, 1e3], True, ["1e-09", "1e-06", "0.001", "1", "1000"]),
        ([90.0, 1.0], False, ["20", "40", "60", "80"]),
        ([3.0, 0.5, 0.4, 0.36, 0.3, 0.31], True, ["0.5", "1", "2"]),
        ([0.1, 0.5, 0.8, 0.9], False, ["0.2", "0.4", "0.6", "0.8"]),
        ([1000.0, 2.4, 2.1, 2.2], True, ["10", "100", "1000"]),
        ([0.0, 500.0], False, ["0", "200", "400"]),
        ([-1.0, 500.0], False, ["0", "200", "400"]),
        ([0.25, 0.75], False, ["0.3", "0.4", "0.5", "0.6", "0.7"]),
        ([1e6, 1.2e6], False, ["1000000", "1100000", "1200000"]),
        ([3.0], False, ["2", "3", "4"]),
        ([0.0], False, ["-0.5", "0.0", "0.5"]),
    ],
)
def test_an_axis_has_few_round_ticks_and_a_logarithm_where_it_helps(values, log, labels):
    axis = Axis(values, ticks=4, log=None)

    assert axis.log is log
    assert [label for _, label in axis.ticks] == labels


def test_a_logarithm_can_be_asked_for_and_is_not_where_there_is_none():
    assert Axis([1.0, 10.0], ticks=4, log=True).log
    assert [label for _, label in Axis([0.91, 0.96], ticks=4, log=True).ticks] == ["0.91"]
    assert not Axis([0.0, 10.0], ticks=4, log=True).log
    assert not Axis([1.0, 1e6], ticks=4, log=False).log


NUMBERS = st.one_of(
    st.floats(), st.sampled_from([0.0, -0.0, 5e-324, 1.7e308, -1.7e308, 1.0, 1.0 + 2**-52])
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=20), st.text(max_size=60))
def test_any_numbers_and_any_name_give_a_picture_that_can_be_read(points, name):
    x, y = [x for x, _ in points], [y for _, y in points]
    drawn = chart([Curve(name=name, x=x, y=y), Curve(name="b", x=[1], y=[2])], title=name)
    blocks = sparkline(y)
    small = spark(y)

    assert "nan" not in drawn.replace("&", " ") or "nan" in name
    ET.fromstring(drawn)
    finite = [v for v in y if math.isfinite(v)]
    assert bool(blocks) is bool(small) is bool(finite)
    assert len(blocks) <= 16
    assert "nan" not in small
    for path in lines(drawn):
        inside = [int(n) for n in (path.get("d") or "M0 0")[1:].split("l")[0].split("h")[0].split()]
        assert all(-50 <= n <= 7000 for n in inside)


def test_nothing_is_drawn_of_nothing():
    assert chart([]) == chart([Curve(name="a", x=[1.0], y=[math.nan])]) == ""
    assert sparkline([]) == sparkline([math.inf]) == spark([math.nan]) == ""


def test_one_value_is_a_dot():
    (path,) = lines(chart([Curve(name="a", x=[1], y=[2])]))

    assert (path.get("d") or "").endswith("h0")
    assert path.get("stroke-linecap") == "round"


def test_a_long_curve_is_thinned_to_what_can_be_seen():
    count = 100_000
    drawn = chart([Curve(name="a", x=range(count), y=[n % 7 for n in range(count)])])

    assert len(drawn) < 6000
    assert (lines(drawn)[0].get("d") or "").count(" ") <= 2 * POINTS


@pytest.mark.parametrize(
    ("values", "width", "blocks"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], 16, "▁▂▃▄▅▆▇█"),
        ([1, 1, 1], 16, "▅▅▅"),
        ([1000, 100, 10, 1], 16, "█▆▃▁"),
        ([2, 4, 6, 8], 2, "▁█"),
        ([1, math.nan, 2], 16, "▁█"),
    ],
)
def test_blocks(values, width, blocks):
    assert sparkline(values, width) == blocks


def test_blocks_of_curves_beside_each_other_have_one_scale():
    low, high = [1.0, 2.0], [7.0, 8.0]

    assert sparkline(low) == sparkline(high) == "▁█"
    assert sparkline(low, beside=low + high) == "▁▂"
    assert sparkline(high, beside=low + high) == "▇█"


def test_names_stay_text_in_the_picture():
    drawn = chart([Curve(name=HOSTILE, x=[1, 2], y=[1, 2])] * 2, title=HOSTILE)

    assert {element.tag for element in ET.fromstring(drawn).iter()} == {
        SVG + tag for tag in ("svg", "g", "path", "text")
    }
    assert all("\x1b" not in text and "\u202e" not in text for text in texts(drawn))
    assert texts(drawn)[0].startswith("<script>window.pwned=1")
    ((tag, attributes),) = Parsed(image(drawn, HOSTILE)).tags
    assert (tag, sorted(attributes)) == ("img", ["alt", "src"])
