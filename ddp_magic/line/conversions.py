"""Turns the text behind an option into its value, or says what it should be; runs in the kernel."""

from __future__ import annotations

import keyword
import os
import re
from typing import Literal, NoReturn

from ddp_magic.errors import OptionError
from ddp_magic.launcher import is_launchers

__all__ = [
    "device_names",
    "dotted",
    "duration",
    "folder",
    "gpu_count",
    "interface",
    "limit",
    "names",
    "ranks",
    "restarts",
    "title",
    "variable",
    "worker_count",
]

_AMOUNT = r"([0-9]{1,9}(?:\.[0-9]+)?)"
_DURATION = re.compile(rf"(?:{_AMOUNT}h)?(?:{_AMOUNT}m)?(?:{_AMOUNT}s)?")
_CPU = "--nproc 2 --env CUDA_VISIBLE_DEVICES="


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[-+]?[0-9]{1,9}", text) else None


def gpu_count(text: str) -> int | Literal["all"] | tuple[str, ...]:
    """Convert `--gpus`: a number, ``all``, or a list of devices."""
    if text == "all":
        return "all"
    if "," in text:
        return device_names(text)
    count = _number(text)
    if count == 0:
        raise OptionError(
            "--gpus 0 asks for no worker: it is a number of GPUs, not a name. "
            f"Write --devices 0 for GPU 0, or {_CPU} to train on the CPU."
        )
    if count is None or count < 0:
        raise OptionError(
            f"--gpus takes a number of GPUs or all, not {text!r}. Write --gpus 2, or --devices 0,2 "
            "to name them."
        )
    return count


def device_names(text: str) -> tuple[str, ...]:
    """Convert `--devices`: numbers as in ``cuda:1``, or identifiers as ``GPU-…`` and ``MIG-…``."""
    found: list[str] = []
    for item in text.split(","):
        name = item.strip().removeprefix("cuda:")
        if name.lower() == "cpu":
            raise OptionError(f"--devices names GPUs. Write {_CPU} to train on the CPU.")
        if name == "all":
            raise OptionError("--devices names GPUs one by one. Write --gpus all for all of them.")
        if not re.fullmatch(r"[0-9]{1,4}|(GPU|MIG)-[\w/-]+", name):
            raise OptionError(
                f"--devices takes GPUs as 0,2 or GPU-8a4f…, and {item.strip()!r} is none. "
                "Write --devices 0,2."
            )
        name = str(int(name)) if name.isdecimal() else name
        if name in found:
            once = ",".join(dict.fromkeys([*found, name]))
            raise OptionError(
                f"--devices names GPU {name} twice, and a GPU takes one worker. "
                f"Write --devices {once}."
            )
        found.append(name)
    return tuple(found)


def worker_count(text: str) -> int:
    """Convert `--nproc`."""
    count = _number(text)
    if text in ("auto", "gpu"):
        raise OptionError(f"--nproc takes a number, not {text!r}. Write --gpus all for all GPUs.")
    if count is None or count < 1:
        raise OptionError(
            f"--nproc takes a number of workers from 1 on, not {text!r}. Write --nproc 2."
        )
    return count


def names(text: str) -> tuple[str, ...]:
    """Convert `--output`: names of variables."""
    found = [item.strip() for item in text.split(",") if item.strip()]
    for name in found:
        if "." in name and all(part.isidentifier() for part in name.split(".")):
            last = name.rpartition(".")[2]
            raise OptionError(
                f"--output takes variables, and {name} is an attribute. "
                f"Bind it in the cell ({last} = {name}) and write --output {last}."
            )
        if not name.isidentifier():
            raise OptionError(
                f"--output takes names of variables, and {name!r} is none. "
                "Write --output history,model."
            )
    if not found:
        raise OptionError("--output names no variable. Write --output history,model.")
    return tuple(dict.fromkeys(found))


def dotted(text: str) -> str:
    """Convert `--trainer`: a name, or a path to one."""
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in text.split(".")):
        raise OptionError(
            f"--trainer takes a name of the notebook, and {text!r} is none. Write --trainer "
            "MyTrainer, and what it is made with as lr=0.1 behind it."
        )
    return text


def ranks(text: str) -> tuple[int, ...] | Literal["all"]:
    """Convert `--rank`: numbers of ranks, or ``all``."""
    if text == "all":
        return "all"
    numbers = [_number(item.strip()) for item in text.split(",")]
    found = tuple(dict.fromkeys(n for n in numbers if n is not None and n >= 0))
    if None in numbers or len(found) < len(numbers):
        raise OptionError(
            f"--rank takes ranks from 0 on, each once, or all, not {text!r}. Write --rank 0,1."
        )
    return found


def restarts(text: str) -> int:
    """Convert `--restarts`."""
    count = _number(text)
    if count is None or count < 0:
        raise OptionError(f"--restarts takes a number from 0 on, not {text!r}. Write --restarts 3.")
    return count


def duration(text: str) -> float:
    """Convert a time as ``90``, ``30m`` or ``1h30m`` to seconds."""
    compact = text.replace(" ", "").lower()
    if re.fullmatch(_AMOUNT, compact):
        return float(compact)
    match = _DURATION.fullmatch(compact)
    if not compact or match is None:
        raise OptionError(
            f"{text!r} is not a time. Write seconds as 90, or hours and minutes as 30m or 1h30m."
        )
    hours, minutes, seconds = (float(amount or 0) for amount in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def limit(text: str) -> float:
    """Convert `--timeout`."""
    seconds = duration(text)
    if not seconds:
        raise OptionError("--timeout 0 leaves no time. Write --timeout 30m, or leave it out.")
    return seconds


def variable(text: str) -> tuple[str, str]:
    """Convert one `--env`."""
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name):
        _bad_variable(text)
    if is_launchers(name):
        raise OptionError(
            f"--env {name} cannot be set: the launcher gives it to each worker. Leave it out."
        )
    return name, value


def _bad_variable(text: str) -> NoReturn:
    # the text may be a bare secret: it is not repeated
    shown = text if re.fullmatch(r"[A-Za-z_]\w{0,15}", text) else "what stands there"
    raise OptionError(
        f"--env takes NAME=VALUE, and {shown} is not of that form. "
        "Write --env OMP_NUM_THREADS=4, without spaces around the sign."
    )


def folder(text: str) -> str:
    """Convert the folder of `--keep`."""
    return os.path.expanduser(text)


def title(text: str) -> str:
    """Convert `--name`."""
    if not text.strip() or len(text) > 80:
        raise OptionError(
            "--name takes one to 80 characters. Write --name baseline, or --name 'two words'."
        )
    return text.strip()


def interface(text: str) -> Literal["widget", "html", "plain"]:
    """Convert `--ui`."""
    match text:
        case "widget" | "html" | "plain":
            return text
        case _:
            raise OptionError(
                f"--ui takes widget, html or plain, not {text!r}. Write --ui plain, or leave it "
                "out: it is chosen by itself."
            )
