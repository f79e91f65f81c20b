"""Splits the %%ddp line into words outside quotes and brackets; runs in the kernel.

``shlex`` would break ``xs=[1, 2]`` and drop the quotes that tell ``'5'`` from ``5``; IPython's own
splitter breaks ``name='a b'``.
"""

from __future__ import annotations

import re

from ddp_magic.errors import OptionError

__all__ = ["joined", "pieces", "split", "unquote"]

_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_PIECE = re.compile(
    rf"(?P<quoted>{_QUOTED})|(?P<space>(?:\\[ \t]*(?=\n|\Z)|\s)+)|(?P<other>.)", re.DOTALL
)
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def joined(line: str, cell: str | None) -> tuple[str, str | None]:
    """Take further lines of the cell into the magic's line while it ends in a backslash."""
    while line.rstrip().endswith("\\") and cell:
        more, _, cell = cell.partition("\n")
        line = f"{line.rstrip()[:-1]} {more}"
    return line, cell


def split(line: str) -> tuple[list[str], str]:
    """Split a line into words, quotes kept as written, and the note behind ``#``.

    A backslash at the end of a physical line continues it, whether the line comes joined or not.

    Raises:
        OptionError: A quote or a bracket is not closed.
    """
    words: list[str] = []
    notes: list[str] = []
    word = ""
    closers: list[str] = []
    position = 0
    while position < len(line):
        match = _PIECE.match(line, position)
        assert match, "the pattern takes any character"
        text, position = match[0], match.end()
        if match.lastgroup == "space":
            if closers:
                word += " "
            elif word:
                words.append(word)
                word = ""
            continue
        if text == "#" and not word:
            note, _, _ = line[position:].partition("\n")
            notes.append(note.strip())
            position += len(note)
            continue
        if match.lastgroup == "other":
            _track(text, closers, word + line[match.start() :])
        word += text
    if closers:
        raise OptionError(
            f"`{word}` opens a bracket that is never closed. Add the missing `{closers[-1]}`, or "
            "put text that contains a bracket in quotes."
        )
    return [*words, word] if word else words, " ".join(notes)


def _track(character: str, closers: list[str], rest: str) -> None:
    """Follow brackets outside quotes; `rest` is shown where one does not fit."""
    if character in "'\"":
        shown = rest.partition("\n")[0].strip()
        raise OptionError(
            f"`{shown}` opens a quote ({character}) that is never closed. Close it, or put text "
            "that contains a quote in quotes of the other kind."
        )
    if character in _PAIRS:
        closers.append(_PAIRS[character])
    elif character in _PAIRS.values() and (not closers or closers.pop() != character):
        shown = rest.partition("\n")[0].strip()
        raise OptionError(
            f"The `{character}` in `{shown}` closes no bracket. Remove it, or put text that "
            "contains a bracket in quotes."
        )


def pieces(text: str) -> list[str]:
    """Split at the commas that stand outside quotes and brackets.

    >>> pieces("1e-3,[1, 2],'a,b'")
    ['1e-3', '[1, 2]', "'a,b'"]
    """
    found = [""]
    depth = 0
    for match in _PIECE.finditer(text):
        piece = match[0]
        if piece == "," and not depth:
            found.append("")
            continue
        depth += (piece in _PAIRS) - (piece in _PAIRS.values())
        found[-1] += piece
    return found


def unquote(word: str) -> str:
    """Return what a word of the line stands for, as a shell would: quotes removed."""

    def inner(match: re.Match[str]) -> str:
        return re.sub(r"\\(['\"\\])", r"\1", match[0][1:-1])

    return re.sub(_QUOTED, inner, word, flags=re.DOTALL)
