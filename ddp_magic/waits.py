"""Runs in the kernel: what each rank waits for, read from its stack, and which rank is not there.

A stack is faulthandler's text, whose frames begin with the innermost. Calls into C have no frame:
`time.sleep`, or a wait for a GPU, is seen as the line of the cell that makes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from ddp_magic.recorder import LIBRARY
from ddp_magic.wording import ranks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Wait", "conclude", "ended", "wait"]

_FRAME = re.compile(r'File "(?P<file>[^"\n]*)", line (?P<line>\d+) in (?P<name>[^\n]*)')
_THREAD = re.compile(r"^\s*(?:Current thread|Thread) 0x", re.MULTILINE)
_LINE = 60
"""Characters of a cell's line that are quoted."""
_DISTRIBUTED = "torch/distributed/distributed_c10d.py"
_WORK = re.compile(r"\.wait\(")
"""The wait for a collective that was begun with async_op=True has no frame of its own."""
_GROUPS = (
    ("torch/distributed/rendezvous.py", "the rendezvous of init_process_group"),
    ("torch/distributed/fsdp/", "FSDP's exchange of parameters"),
    ("torch/distributed/utils.py", "DistributedDataParallel, which compares the ranks' models"),
    ("torch/nn/parallel/distributed.py", "DistributedDataParallel, which sends buffers"),
    ("torch/distributed/", "torch.distributed"),
    ("torch/autograd/graph.py", "backward, where DDP exchanges gradients"),
)
"""Where ranks meet besides in what `_DISTRIBUTED` defines, the most telling first."""
_OTHERS = (
    ("torch/utils/data/dataloader.py", "waits for its DataLoader"),
    ("torch/cuda/__init__.py", "waits for its GPU"),
    ("torch/_inductor/", "compiles"),
    ("torch/_dynamo/", "compiles"),
    ("<frozen importlib._bootstrap>", "imports a module"),
    ("/subprocess.py", "waits for a program that it started"),
    ("/multiprocessing/", "waits for a process that it started"),
    ("/concurrent/futures/", "waits for a task of a pool"),
    ("/queue.py", "waits at a queue"),
    ("/threading.py", "waits for a thread"),
    ("/ssl.py", "waits for the network"),
    ("/socket.py", "waits for the network"),
)
"""What else it may wait for, by a file that the stack goes through; the first that is in it."""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """What one rank does.

    Attributes:
        rank: Whose.
        meets: What it is in where the ranks meet, as ``all_reduce``; empty where it is elsewhere.
        does: What it does elsewhere, as ``waits for its DataLoader`` or ``is at `x = f()```.
        place: The line of the notebook, as ``Cell In[4], line 12``; may be empty.
    """

    rank: int
    meets: str = ""
    does: str = ""
    place: str = ""

    @property
    def at(self) -> str:
        """The place in brackets, or nothing."""
        return f" ({self.place})" if self.place else ""


def ended(rank: int) -> Wait:
    """Return what to say of a rank that has left."""
    return Wait(rank=rank, does="has ended")


def wait(rank: int, stack: str | None, texts: Mapping[str, Mapping[int, str]]) -> Wait:
    """Read a rank's stack.

    Args:
        rank: Whose it is.
        stack: As faulthandler writes it, of all threads; None where it did not answer.
        texts: The cells' lines by number, by label.
    """
    if stack is None:
        return Wait(rank=rank, does="does not answer")
    frames = _main(stack)
    if not frames:
        return Wait(rank=rank, does="is not in the cell")
    # none is the user's where faulthandler cuts a stack, after a hundred frames
    own = next((i for i, f in enumerate(frames) if not LIBRARY.search(f["file"])), len(frames))
    inner, place, quoted = frames[:own], "", ""
    if own < len(frames):
        file, line = frames[own]["file"], int(frames[own]["line"])
        place = f"{PurePath(file).name}, line {line}"
        text = texts.get(file, {}).get(line, "").strip()
        quoted = text if len(text) <= _LINE else text[: _LINE - 1] + "…"
    meets = _meets(inner)
    if not inner and _WORK.search(quoted):
        meets = f"`{quoted}`"
    if meets:
        return Wait(rank=rank, meets=meets, place=place)
    does = next((words for part, words in _OTHERS if any(part in f["file"] for f in inner)), "")
    if not does:
        does = f"is at `{quoted}`" if quoted else "is elsewhere" if place else "is in a library"
    return Wait(rank=rank, does=does, place=place)


def _main(stack: str) -> list[re.Match[str]]:
    """Return the frames of the thread that runs the cell, innermost first."""
    threads = [list(_FRAME.finditer(block)) for block in _THREAD.split(stack)[1:]]
    threads = [frames for frames in threads if frames]
    ours = [frames for frames in threads if frames[-1]["name"].strip() == "<module>"]
    return (ours or threads or [[]])[-1]  # faulthandler writes the main thread last


def _meets(frames: Sequence[re.Match[str]]) -> str:
    """Return what a stack is in where ranks meet; empty where it is not."""
    names = [f["name"].strip() for f in frames if f["file"].endswith(_DISTRIBUTED)]
    if names:
        return names[-1]  # what was called: all_gather_object, not the all_gather in it
    for part, words in _GROUPS:
        if any(part in frame["file"] for frame in frames):
            return words
    return ""


def conclude(waits: Sequence[Wait]) -> str:
    """Say in a sentence or two where the ranks are, and which is not where the others wait."""
    met = [wait for wait in waits if wait.meets]
    away = [wait for wait in waits if not wait.meets]
    if not met:
        return _sentence("; ".join(_grouped(away)))
    if away:
        return _sentence(f"{'; '.join(_grouped(met))}; {_missing(away)}")
    if len({wait.meets for wait in met}) == 1:
        if len(met) > 1 and len({wait.place for wait in met}) == 1:
            return f"Every rank is in {met[0].meets}{met[0].at}."
        return _sentence("; ".join(_grouped(met)))
    advice = "Every rank must call the same ones in the same order."
    return f"The ranks wait for each other in different calls: {'; '.join(_grouped(met))}. {advice}"


def _missing(away: Sequence[Wait]) -> str:
    said = _grouped(away)
    if len(said) == 1:
        who, does = _who(away), said[0].removeprefix(_who(away) + " ")
        are, they = ("is", "it") if len(away) == 1 else ("are", "they")
        return f"{who} {are} not there: {they} {does}"
    return f"{_who(away)} are not there: {', '.join(said)}"


def _grouped(waits: Iterable[Wait]) -> list[str]:
    """Say what ranks do, those together that do the same."""
    groups: dict[tuple[str, str, str], list[Wait]] = {}
    for one in waits:
        groups.setdefault((one.meets, one.does, one.at), []).append(one)
    said: list[str] = []
    for (meets, does, at), group in groups.items():
        words = f"waits in {meets}" if meets else does
        said.append(f"{_who(group)} {words if len(group) == 1 else _plural(words)}{at}")
    return said


def _who(waits: Sequence[Wait]) -> str:
    return ranks([wait.rank for wait in waits])


def _plural(words: str) -> str:
    """Make ``waits for its GPU`` say of several ranks what it says of one."""
    verb, _, rest = words.partition(" ")
    verbs = {"is": "are", "has": "have", "does": "do"}
    return f"{verbs.get(verb, verb.removesuffix('s'))} {rest}".replace(" its ", " their ").replace(
        " it ", " they "
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
