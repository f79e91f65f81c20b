"""Runs in the kernel: the named numbers of a line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ddp_magic.metrics.names import PHASES, QUALIFIERS, Kind, kind

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NUMBER", "Named", "named", "stated"]

NUMBER = (
    r"[+-]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d.])|(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d++)?"
    r"|(?i:nan|inf(?:inity)?))"
)
_ENDS = r"(?=$|[\s;|)\]}\"'(]|,(?!\d)|\.(?:\s|$))"
_PAIR = re.compile(
    r"(?<![\w./@=\\-])(?P<quote>[\"']?)(?P<name>[A-Za-z_][\w./@%#-]*+)(?P=quote)"
    r"(?P<sep>\s*+[:=]\s*+|\s++)(?:[\"']|(?P<list>\[))?"
    rf"(?P<number>{NUMBER})(?P<percent>\s?%)?(?(list)\]){_ENDS}"
    r"(?!\s*+(?:[*^>=]|\+(?!/)|->|→|/\s*+\w))"
)
_PART = re.compile(
    r"(?<![\w./@=-])(?P<name>[A-Za-z_][\w@]*+)\s*+[:=]\s*+\d++/\d++ "
    r"\(\s*+(?P<number>\d++(?:\.\d++)?)%\)"
)
"""``Accuracy: 9848/10000 (98%)``."""
_FIELD_ENDS = re.compile(r"\s*+(?:$|[,|;]|-\s)|\t")
_WORD_FOLLOWS = re.compile(r"\s++[A-Za-z]{2,}+(?!\w*+\s*+(?:[:=]|[\d.]))")
_WRAPPED = re.compile(r"\b(?:tensor|array|np\.\w+)\(")
_CALL = re.compile(r"(?<=\w)\([^()]*+\)?")
_CONSTANT = re.compile(r"[=:]\s*+(?:True|False|None|true|false|null)\b")
_CODE = re.compile(r"\s*+(?:>>>|-+>|\^|[│❱]|File \")|\w*(?:Error|Exception|Warning):\s")
_ASSIGNED = re.compile(r"\s{4}.*\w = ")
_URL = re.compile(r"\w++://\S++")
_WORD = re.compile(r"[A-Za-z]+")
_FRONT = 48
"""Characters in front of a name in which words may belong to it."""


class Named(NamedTuple):
    """The named numbers of a text."""

    values: tuple[tuple[str, float], ...] = ()
    phase: str = ""
    """What of a run all of them are about, as in ``Val: loss 0.3 acc 0.8``; may be empty."""


class _Pair(NamedTuple):
    name: str
    value: float
    kind: Kind
    start: int


def named(text: str, *, counted: bool) -> Named:
    """Return the metrics of a line; none where it is not about metrics.

    Args:
        text: The line.
        counted: Whether it also names a step or an epoch.
    """
    if _CODE.match(text) or _ASSIGNED.match(text):
        return Named()
    text = _bare(text)
    found = list(_pairs(text))
    kinds = {pair.kind for pair in found}
    if Kind.SETTING in kinds or len(_CONSTANT.findall(text)) > 1:
        return Named()
    if Kind.METRIC in kinds:
        return Named(_apart(found), _phase(text[: found[0].start]))
    if counted:
        return Named(_apart([p for p in found if p.kind is Kind.WEAK]))
    return Named()


def stated(text: str, label: str) -> Named:
    """Return all named numbers of a text that is there to show them, behind a label."""
    return Named(_apart(list(_pairs(_bare(text)))), _phase(label))


def _bare(text: str) -> str:
    """Return the text without addresses, calls, and what wraps a number."""
    if "://" in text:
        text = _URL.sub(" ", text)
    if "(" in text:
        text = _CALL.sub(" ", _CALL.sub(" ", _WRAPPED.sub("", text)))
    return text


def _pairs(text: str) -> Iterator[_Pair]:
    if "%)" in text:
        for part in _PART.finditer(text):
            yield _pair(text, part, float(part["number"]))
    for found in _PAIR.finditer(text):
        said = kind(found["name"])
        if said is not Kind.NEVER and _is_one(text, found, said):
            yield _pair(text, found, float(found["number"].replace(",", "")))


def _is_one(text: str, found: re.Match[str], said: Kind) -> bool:
    """Whether what looks like a name and a number is one, and not part of a sentence."""
    separator = found["sep"]
    whole = found["number"].lstrip("+-").isdigit() and not found["percent"]
    if separator.isspace():
        before = text[max(0, found.start() - 4) : found.start()].rstrip(" ")
        alone = not before or before[-1] in ",|;\t" or before.endswith(" -")
        if said is Kind.OTHER and not (alone and _FIELD_ENDS.match(text, found.end())):
            return False
        return not (whole and _WORD_FOLLOWS.match(text, found.end()))
    tight = whole and separator == ":" and not found["quote"]
    return not tight or said is not Kind.OTHER  # host:port, file:line, cuda:0


def _pair(text: str, found: re.Match[str], value: float) -> _Pair:
    """Make a pair, with the words in front of its name that belong to it."""
    start, name = found.start(), found["name"]
    if found.start("name") > start or text[start - 1 : start] != " ":
        return _Pair(name, value, kind(name), start)
    words = text[max(0, start - _FRONT) : start - 1].split(" ")
    for word in reversed(words):
        bare = word.lstrip("\t([{|,")
        if bare.lower().rstrip(".") not in QUALIFIERS:
            break
        name = f"{bare} {name}"
        start -= len(bare) + 1
        if bare != word:
            break
    return _Pair(name, value, kind(name), start)


def _phase(text: str) -> str:
    """Return the last word for a part of a run other than training; empty where there is none."""
    words = [word for word in _WORD.findall(text) if word.lower() in PHASES]
    return words[-1] if words and not words[-1].lower().startswith("train") else ""


def _apart(found: list[_Pair]) -> tuple[tuple[str, float], ...]:
    """Return the numbers by name; the second of a name belongs to what was named before it."""
    values: dict[str, float] = {}
    word = ""
    for name, value, _, _ in found:
        first = name.partition(" ")[0].partition("_")[0]
        if first.lower() in PHASES:
            word = first
        full = f"{word} {name}" if name in values and word else name
        values.setdefault(full, value)
    return tuple(values.items())
