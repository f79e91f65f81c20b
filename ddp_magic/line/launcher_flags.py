"""Which flags of torch.distributed.run may be passed on, as a table; runs in the kernel.

The parser itself would need torch, which the kernel does not import. A test compares the table
with the parser of the installed torch. Whatever abbreviation that parser accepts is resolved here,
so that no spelling of a refused flag slips through.
"""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from ddp_magic.errors import OptionError

__all__ = ["ALLOWED", "REFUSED", "advice", "passed_on"]

if TYPE_CHECKING:
    from collections.abc import Callable

Check: TypeAlias = "Callable[[str], bool]"


def _seconds(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _one_of(*choices: str) -> Check:
    return lambda text: text in choices


ALLOWED: dict[str, tuple[str, Check]] = {
    "event-log-handler": ("console or null", _one_of("console", "null")),
    "monitor-interval": ("seconds, as 0.5", _seconds),
    "numa-binding": (
        "node, socket, exclusive or core-complex",
        _one_of("node", "socket", "exclusive", "core-complex"),
    ),
    "role": ("a name", str.isidentifier),
    "start-method": (
        "spawn, fork or forkserver",
        _one_of("spawn", "fork", "forkserver"),
    ),
}
"""Flags that are passed on: what their value is, and whether a text is one."""

_LOOPBACK = "the workers meet on this machine's loopback only, at an address that ddp_magic keeps"
_OUTPUT = "every rank's output is already kept and shown; --rank chooses whose, --keep keeps it"
_MODULE = "what the workers run is the module that is made from this cell"

REFUSED: dict[str, str] = {
    "nnodes": "a run has one machine",
    "node-rank": "a run has one machine",
    "nproc-per-node": "write --nproc or --gpus instead",
    "max-restarts": "write --restarts instead",
    "rdzv-backend": _LOOPBACK,
    "rdzv-endpoint": _LOOPBACK,
    "rdzv-id": _LOOPBACK,
    "rdzv-conf": _LOOPBACK,
    "standalone": _LOOPBACK,
    "master-addr": _LOOPBACK,
    "master-port": _LOOPBACK,
    "local-addr": _LOOPBACK,
    "module": _MODULE,
    "no-python": _MODULE,
    "run-path": _MODULE,
    "log-dir": _OUTPUT,
    "redirects": _OUTPUT,
    "tee": _OUTPUT,
    "local-ranks-filter": _OUTPUT,
    "duplicate-stdout-filters": _OUTPUT,
    "duplicate-stderr-filters": _OUTPUT,
    "logs-specs": _OUTPUT,
    "signals-to-handle": "Stop and the interrupt rely on the signals as they are",
    "shutdown-timeout": "write --grace instead",
    "virtual-local-rank": "a worker finds its device by LOCAL_RANK",
    "help": "%%ddp? shows the help",
}
"""Flags that would break a promise, and why."""

_SHORT = {"-m": "module", "-r": "redirects", "-t": "tee", "-h": "help"}


def passed_on(text: str) -> tuple[str, ...]:
    """Check the flags in a `--torchrun` value and return them in their canonical spelling.

    Raises:
        OptionError: One is unknown, refused, without its value, or no flag at all.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        raise OptionError(
            f"--torchrun {text!r} has a quote that is never closed. Close it, or leave it out."
        ) from None
    flags: list[str] = []
    rest = iter(words)
    for word in rest:
        written, equals, value = word.partition("=")
        name = _resolve(written)
        kind, fits = ALLOWED[name]
        if not equals:
            value = next(rest, "")
        if not fits(value):
            raise OptionError(
                f"--torchrun: {written} takes {kind}, not {value!r}. "
                f'Write --torchrun "--{name}=…" with such a value.'
            )
        flags.append(f"--{name}={value}")
    return tuple(flags)


def _resolve(written: str) -> str:
    """Return the flag's canonical name, resolving what argparse would."""
    if not written.startswith("-") or written in ("-", "--"):
        raise OptionError(
            f"--torchrun takes flags of torch.distributed.run only, and {written!r} is none. For "
            "values write name=value on the %%ddp line."
        )
    if not written.startswith("--"):
        name = _SHORT.get(written[:2])
        if name is None:
            _unknown(written)
        _refuse(written, name)
    name = written[2:].replace("_", "-")
    known = sorted({*ALLOWED, *REFUSED})
    matches = [name] if name in known else [flag for flag in known if flag.startswith(name)]
    if not matches:
        _unknown(written)
    for match in matches:
        if match in REFUSED:
            _refuse(written, match)
    if len(matches) > 1:
        raise OptionError(
            f"--torchrun: {written} is short for several flags. "
            f"Write one of {', '.join('--' + match for match in matches)}."
        )
    return matches[0]


def _unknown(written: str) -> NoReturn:
    raise OptionError(
        f"--torchrun: {written} is no flag of torch.distributed.run that can be passed on. "
        f"Those are {', '.join('--' + flag for flag in ALLOWED)}."
    )


def _refuse(written: str, name: str) -> NoReturn:
    shown = written if written == f"--{name}" else f"{written} (--{name})"
    raise OptionError(f"--torchrun cannot pass on {shown}{advice(name)}")


def advice(name: str) -> str:
    """Return how a message about a refused flag ends: why, and what to do."""
    reason = REFUSED[name]
    if reason.startswith("write "):
        return f". {reason.capitalize()}."
    return f": {reason}. Leave it out."
