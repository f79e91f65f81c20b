"""Walks over the words of a %%ddp line; runs in the kernel.

Knows no option by itself: `options` hands the declarations over.
"""

from __future__ import annotations

import difflib
import keyword
import re
import unicodedata
from typing import TYPE_CHECKING, Any, NoReturn

from ddp_magic.errors import OptionError
from ddp_magic.line import launcher_flags
from ddp_magic.line.splitting import pieces, split, unquote
from ddp_magic.masking import mask_line

if TYPE_CHECKING:
    from ddp_magic.line.flag import Flag

__all__ = ["LineParser"]

_TARGET = re.compile(r"[^\W\d]\w*(?:\.\w+)*")
_ASSIGNED = re.compile(rf"({_TARGET.pattern})=(?!=)(.*)", re.DOTALL)
_NEGATIVE = re.compile(r"-\.?\d.*|-inf", re.DOTALL)
_BRACKETS = re.compile(r"""\[\s*(?:(['"])(\w+)\1|(\d+))\s*\]""")
_GLUED = re.compile(r"([^\W\d]+):?([-+]?\d[\d.e+-]*)")


class LineParser:
    """One pass over a line.

    Attributes:
        words: The line's words, as written.
        at: Index of the next word.
        overrides: Target and text of each ``name=value``, once `parse` has returned.
    """

    def __init__(self, line: str, flags: dict[str, Flag]) -> None:
        words, self.note = split(line)
        self.words = _joined(words)
        self.at = 0
        self.flags = flags
        self.spelled = {
            spelling: name
            for name, flag in flags.items()
            for spelling in (*flag.flags, *flag.hidden)
        }
        self.values: dict[str, Any] = {}
        self.overrides: list[tuple[str, str]] = []

    def parse(self) -> dict[str, Any]:
        """Return the values of `Options` that the line gives; `overrides` are read beside them.

        Raises:
            OptionError: In two sentences.
        """
        while self.at < len(self.words):
            self._option() if self.words[self.at].startswith("-") else self._override()
        gpus = self.values.get("gpus")
        if isinstance(gpus, tuple):
            if "devices" in self.values:
                raise OptionError(
                    "--gpus with a list and --devices both name GPUs. Keep --devices alone."
                )
            self.values["devices"] = self.values.pop("gpus")
        return {**self.values, "note": self.note}

    # options

    def _option(self) -> None:
        start = self.at
        word = self.words[start]
        self.at += 1
        written, equals, attached = word.partition("=")
        if not written.startswith("--") and re.match(r"-[a-z]\d", written):
            written, equals, attached = word[:2], "=", word[2:]
        spelling = written.replace("_", "-")
        if spelling not in self.spelled:
            self._unknown(start, written, attached if equals else None)
        name = self.spelled[spelling]
        flag = self.flags[name]
        if not flag.metavar:
            if equals:
                self._correct(f"{written} takes no value", start, [written])
            self._keep(start, name, flag, value=True)
            return
        text = unquote(attached) if equals else self._value(start, flag)
        converted = "" if text is None else self._convert(flag, text)
        self._keep(start, name, flag, value=converted)

    def _value(self, start: int, flag: Flag) -> str | None:
        """Take the word behind an option; None where it may be left out and is."""
        following = self.words[self.at] if self.at < len(self.words) else None
        absent = following is None or (
            following.startswith("-") and not _NEGATIVE.fullmatch(following)
        )
        if flag.optional and (absent or self._assigned_at(self.at) is not None):
            return None
        if following is None or absent:
            written = self.words[start]
            example = flag.metavar.partition("|")[0].replace("N", "2")
            quoted = bool(following) and example.startswith('"')
            instead = [written, f'"{following}"' if quoted else example]
            self._correct(f"{written} needs a value", start, instead, 1 + quoted)
        self.at += 1
        return unquote(following)

    def _convert(self, flag: Flag, text: str) -> Any:
        try:
            return flag.convert(text)
        except OptionError as error:
            # a conversion that serves several options does not name the one it was called for
            message = str(error)
            named = flag.name in message or message.startswith("--")
            raise OptionError(message if named else f"{flag.name}: {message}") from None

    def _keep(self, start: int, name: str, flag: Flag, *, value: Any) -> None:
        if flag.repeat:
            self.values[name] = (*self.values.get(name, ()), value)
        elif name in self.values:
            given = mask_line(" ".join(self.words[start : self.at]))
            raise OptionError(
                f"{flag.name} is given twice, the second time as `{given}`. Keep one of them."
            )
        else:
            self.values[name] = value

    def _unknown(self, start: int, written: str, attached: str | None) -> NoReturn:
        """Say what could be meant by a word that starts with a dash and is no option."""
        spelling = written.replace("_", "-")
        if spelling[2:] in launcher_flags.REFUSED:
            raise OptionError(
                f"{written} is a flag of torch.distributed.run and not of %%ddp"
                f"{launcher_flags.advice(spelling[2:])}"
            )
        known = [flag for flag in self.spelled if flag.startswith("--")]
        near = difflib.get_close_matches(f"--{spelling.lstrip('-')}", known, 1, 0.75)
        behind = self.words[self.at] if self.at < len(self.words) else ""
        takes = attached is None and behind and not _looks_like_option(behind)
        takes = takes and self._assigned_at(self.at) is None
        value = attached if attached is not None else behind if takes else "True"
        replaced = 1 + bool(takes)
        if near:
            tail = [near[0] if attached is None else f"{near[0]}={attached}"]
            self._correct(f"{written} is not an option; {near[0]} is", start, tail)
        if spelling[2:] in launcher_flags.ALLOWED and replaced + (attached is not None) > 1:
            message = f"{written} is a flag of torch.distributed.run and not of %%ddp"
            self._correct(message, start, ["--torchrun", f'"{spelling}={value}"'], replaced)
        target = written.lstrip("-").replace("-", "_")
        if not _TARGET.fullmatch(target):
            raise OptionError(
                f"{mask_line(written)} is not an option of %%ddp. "
                "%%ddp? shows all options; values are given as name=value."
            )
        message = f"{written} is not an option, and values are overridden as name=value"
        self._correct(message, start, [f"{target}={value}"], replaced)

    # overrides

    def _assigned_at(self, at: int) -> tuple[str, str, int] | None:
        """Read ``name=value`` at a word, spaces around the sign or not: target, value, words."""
        word, *rest = [*self.words[at : at + 3], "", ""][:3]
        match = _ASSIGNED.fullmatch(word)
        used = 1
        if match is None and _TARGET.fullmatch(word) and rest[0].startswith("="):
            match = _ASSIGNED.fullmatch(word + rest[0])
            used, rest = 2, [rest[1]]
        if match is None:
            return None
        if match[2]:
            return match[1], match[2], used
        if rest[0] and not _looks_like_option(rest[0]) and not _ASSIGNED.fullmatch(rest[0]):
            return match[1], rest[0], used + 1
        return match[1], "", used

    def _override(self) -> None:
        start = self.at
        word = self.words[start]
        found = self._assigned_at(start)
        if found is None:
            self._no_override(start, word)
        target, text, used = found
        self.at += used
        if not text:
            raise OptionError(
                f"{target}= has no value. Write {target}=value, or {target}='' for empty text."
            )
        parts = pieces(text)
        if not parts[-1] or any(_ASSIGNED.fullmatch(part.strip()) for part in parts[1:]):
            apart = [part.strip() for part in parts if part.strip()]
            apart[0] = f"{target}={apart[0]}" if apart else f"{target}="
            self._correct("Overrides are separated by spaces, not commas", start, apart, used)
        if keyword.iskeyword(target.partition(".")[0]):  # a key may well be called lambda
            raise OptionError(
                f"{target} is a keyword of Python and names no variable. Write another name."
            )
        self.overrides.append((unicodedata.normalize("NFKC", target), text))

    def _no_override(self, start: int, word: str) -> NoReturn:
        message = f"{mask_line(word)!r} is neither an option nor an override"
        glued = _GLUED.fullmatch(word)
        target, equals, text = word.partition("=")
        dotted = _BRACKETS.sub(lambda key: f".{key[2] or key[3]}", target)
        if equals and dotted != target and _TARGET.fullmatch(dotted):
            message = f"{target} is a path, and paths are written with dots"
            self._correct(message, start, [f"{dotted}={text}"])
        following = self.words[start + 1] if start + 1 < len(self.words) else ""
        if f"--{word}" in self.spelled and not following.startswith("="):
            self._correct(message, start, [f"--{word}"])
        if glued:
            self._correct(message, start, [f"{glued[1]}={glued[2]}"])
        raise OptionError(f"{message}. Write name=value, as in lr=3e-4.")

    def _correct(self, message: str, start: int, instead: list[str], used: int = 1) -> NoReturn:
        """Raise with the line as it should be: `instead` for the words from `start` on."""
        words = [*self.words[:start], *instead, *self.words[start + used :]]
        raise OptionError(f"{message}. Write `%%ddp {mask_line(' '.join(words))}`.")


def _looks_like_option(word: str) -> bool:
    return word.startswith("-") and not _NEGATIVE.fullmatch(word)


def _joined(words: list[str]) -> list[str]:
    """Put lists with spaces behind their commas together: ``-o history, model``."""
    joined: list[str] = []
    for word in words:
        continues = joined and (joined[-1].endswith(",") or word.startswith(","))
        if continues and not _ASSIGNED.fullmatch(word) and not word.startswith("-"):
            joined[-1] += word
        else:
            joined.append(word)
    return joined
