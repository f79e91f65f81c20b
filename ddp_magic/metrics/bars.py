"""Runs in the kernel: a progress bar's text, as numbers.

Read are the bars of tqdm (and so those of Hugging Face, Lightning and older Ultralytics), rich,
Keras 2 and 3, newer Ultralytics, and the counting lines of torchvision's references and mmengine.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

__all__ = ["Bar", "read"]

_COUNT = r"\d[\d,]*(?:\.\d+)?[kKMGTP]?"
_TQDM = re.compile(
    rf"(?<!\d)\d{{1,3}}%(?:\|[^|]*\|)?\s*(?P<done>{_COUNT})/(?P<total>{_COUNT})[^\s\[]*\s*"
    r"\[[\d:]+<(?P<left>[\d:?]+)(?:,(?P<rest>.*))?\]"
)
_ENDLESS = re.compile(r"\[\d+:[\d:]+,(?P<rest>.*)\]")
_COUNT_BEFORE = re.compile(rf"(?<![\w.])(?P<done>{_COUNT})[A-Za-z]*\s*$")
_KERAS = re.compile(
    r"\s*(?P<done>\d+)/(?P<total>\d+)\s+(?:\[[=>.]{4,}\]|[━╸╺─]{4,})"
    r"(?:\s*-\s*ETA:)?\s*(?P<left>\d\S*)?(?P<rest>.*)"
)
_LINE = re.compile(r"[━╸╺─]{5,}")
_OF = re.compile(rf"(?<![\w.:/])(?P<done>{_COUNT})/(?P<total>{_COUNT})(?![\w/]*/)")
_PERCENT = re.compile(r"(?<![\w.])(\d{1,3})%")
_CLOCK = re.compile(r"(?<![\w:.])(?:\d+:)?\d?\d:\d\d(?![\w:])|-:--:--")
_LEFT = re.compile(r"<(\d[\d:.]*s?)")
_ETA = re.compile(r"\beta:\s*((?:\d+ days?, )?[\d:]+)")
_COUNTED = re.compile(r"\[\s*(\d+)\s*/\s*(\d+)\s*\]")
_NUMBERS = re.compile(r"[\d.]+")
_LOGGED = re.compile(r"^.*\b(?:DEBUG|INFO|WARNING)\b[\s\]:|-]*")
_SCALE = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}


class Bar(NamedTuple):
    """What a bar says."""

    label: str
    done: float
    total: float | None
    left: float | None
    """Seconds that it expects still to take."""
    rest: str
    """What stands behind the bar: rates, and metrics of the program's own choice."""
    explicit: bool = True
    """Whether all named numbers in `rest` were put there to be looked at."""

    @property
    def key(self) -> str:
        """What stays while the bar moves on, and is another for most other bars."""
        return f"{_NUMBERS.sub('#', self.label)} of {self.total}"


def read(text: str) -> Bar | None:
    """Return what the text says as a bar; None where it is none."""
    if "%" in text and (found := _TQDM.search(text)):
        return _bar(found, text[: found.start()], found["rest"] or "")
    if ("[=" in text or "[>" in text or "━" in text) and (found := _KERAS.match(text)):
        return _bar(found, "", found["rest"])
    if ("━━" in text or "──" in text) and (found := _LINE.search(text)):
        return _line(text[: found.start()], text[found.end() :])
    if "eta:" in text and (found := _ETA.search(text)):
        return _counted(text, found)
    if "/s" in text or "s/" in text or "?it" in text:
        return _endless(text)
    return None


def _bar(found: re.Match[str], label: str, rest: str) -> Bar:
    done, total = _number(found["done"]), _number(found["total"])
    return Bar(_label(label), done, total, _left(done, total, found["left"] or ""), rest)


def _endless(text: str) -> Bar | None:
    """Read a bar of tqdm that does not know its total."""
    if not text.rstrip().endswith("]") or not (found := _ENDLESS.search(text)):
        return None
    start = max(0, found.start() - 40)
    count = _COUNT_BEFORE.search(text[start : found.start()])
    if not count:
        return None
    label = _label(text[: start + count.start()])
    return Bar(label, _number(count["done"]), None, None, found["rest"])


def _line(label: str, rest: str) -> Bar | None:
    """Read a bar of rich or Ultralytics: what stands behind it is in any order."""
    before = _PERCENT.search(label, max(0, len(label) - 8))
    if counts := _OF.search(rest):
        done, total = _number(counts["done"]), _number(counts["total"])
        rest = rest[: counts.start()] + rest[counts.end() :]
    elif said := _PERCENT.search(rest) or before:
        done, total = float(said[1]), 100.0
    else:
        return None
    clocks = _LEFT.findall(rest) or _CLOCK.findall(rest)
    left = _left(done, total, clocks[-1] if clocks else "")
    return Bar(_label(label[: before.start()] if before else label), done, total, left, rest)


def _counted(text: str, eta: re.Match[str]) -> Bar | None:
    """Read a line that says how many of how many, and when it will be done."""
    found = _COUNTED.search(text, 0, eta.start())
    if not found:
        return None
    done, total = float(found[1]), float(found[2])
    left = _left(done, total, eta[1])
    return Bar(_label(text[: found.start()]), done, total, left, text, explicit=False)


def _left(done: float, total: float, said: str) -> float | None:
    return 0.0 if done >= total else _seconds(said)


def _label(text: str) -> str:
    return " ".join(_LOGGED.sub("", text).split()).removesuffix(":").rstrip()


def _number(text: str) -> float:
    text = text.replace(",", "")
    return float(text.rstrip("kKMGTP")) * _SCALE.get(text[-1], 1.0)


def _seconds(text: str) -> float | None:
    """Read ``1:02:03``, ``10:20``, ``1 day, 0:10:00`` or ``10.2s``; None where it says nothing."""
    days, _, clock = text.rpartition(",")
    seconds = 86400.0 * int(days.split()[0]) if days else 0.0
    try:
        parts = [float(part) for part in clock.strip().removesuffix("s").split(":")]
    except ValueError:
        return None
    seconds += sum(part * 60**power for power, part in enumerate(reversed(parts)))
    return seconds if math.isfinite(seconds) else None
