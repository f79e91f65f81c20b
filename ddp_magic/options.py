"""The options of the %%ddp line, each declared once; runs in the kernel.

A field of `Options` carries its spellings, help and conversion as metadata. The parser, the help
text, README's table and the flags for torch.distributed.run all derive from that.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Literal

from ddp_magic.errors import OptionError
from ddp_magic.line import conversions
from ddp_magic.line.counts import check_counts
from ddp_magic.line.flag import Flag, declared, option
from ddp_magic.line.launcher_flags import passed_on
from ddp_magic.line.parsing import LineParser
from ddp_magic.masking import mask_line

__all__ = [
    "Flag",
    "Options",
    "Override",
    "flags",
    "help_text",
    "markdown_table",
    "parse",
    "torchrun_argv",
]


@dataclass(frozen=True, kw_only=True)
class Override:
    """One ``name=value`` of the line, as written and not yet evaluated."""

    target: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a %%ddp line asks for."""

    gpus: int | Literal["all"] | None = option(
        None, "-g", "--gpus", metavar="N",
        help="N workers, one GPU each, of the GPUs that no other process uses; or all.",
        convert=conversions.gpu_count, choices=("all",),
    )  # fmt: skip
    devices: tuple[str, ...] = option(
        (), "--devices", metavar="0,2",
        help="One worker on each of exactly these GPUs, even if others use them.",
        convert=conversions.device_names,
    )  # fmt: skip
    nproc: int | None = option(
        None, "-n", "--nproc", metavar="N", hidden=("--nproc-per-node",),
        help="N workers: on GPUs where N are free, else on the CPU. With none of these three: "
        "DDP_MAGIC_NPROC if it is set, else all free GPUs, else 2 workers on the CPU.",
        convert=conversions.worker_count,
    )  # fmt: skip
    output: tuple[str, ...] = option(
        (), "-o", "--output", metavar="a,b",
        help="These variables of rank 0 come back into the notebook.",
        convert=conversions.names, choices=("{names}",),
    )  # fmt: skip
    trainer: str = option(
        "", "--trainer", metavar="NAME",
        help="Make this class or function's trainer in every rank, with the overrides, and call "
        "its train() or fit(); the cell then runs in rank 0 only and has it as trainer.",
        convert=conversions.dotted, choices=("{names}",),
    )  # fmt: skip
    rank: tuple[int, ...] | Literal["all"] = option(
        (0,), "--rank", metavar="0,1",
        help="Whose output is shown: ranks, or all; 0 if not given. All are kept in logs.",
        convert=conversions.ranks, choices=("all",),
    )  # fmt: skip
    background: bool = option(
        False, "-b", "--background",
        help="Give the cell back at once: its value is the run, to wait for, ask or stop.",
    )  # fmt: skip
    name: str = option(
        "", "--name", metavar="NAME",
        help="Names the run, to find it again in %ddp_runs.",
        convert=conversions.title,
    )  # fmt: skip
    restarts: int = option(
        0, "--restarts", metavar="N", torchrun="max-restarts",
        help="Start the workers again up to N times after a failure; 0 if not given.",
        convert=conversions.restarts,
    )  # fmt: skip
    timeout: float | None = option(
        None, "--timeout", metavar="30m",
        help="Stop the run after this time, showing where every rank stands.",
        convert=conversions.limit,
    )  # fmt: skip
    grace: float = option(
        30.0, "--grace", metavar="30",
        help="Seconds between an interrupt and the kill; 30 if not given.",
        convert=conversions.duration,
    )  # fmt: skip
    env: tuple[tuple[str, str], ...] = option(
        (), "--env", metavar="K=V", repeat=True,
        help="An environment variable for the workers only; may be given several times.",
        convert=conversions.variable,
    )  # fmt: skip
    keep: str | None = option(
        None, "--keep", metavar="DIR", optional=True,
        help="Keep the generated module, the values and the logs, in DIR if it is given.",
        convert=conversions.folder,
    )  # fmt: skip
    cold: bool = option(
        False, "--cold",
        help="Start new processes, though workers wait for a run (see %ddp_status).",
    )  # fmt: skip
    show: bool = option(
        False, "--show",
        help="Run nothing: show the generated module and what was collected from where.",
    )  # fmt: skip
    ui: Literal["widget", "html", "plain"] | None = option(
        None, "--ui", metavar="widget|html|plain",
        help="How the run is shown; chosen by itself if not given.",
        convert=conversions.interface, choices=("widget", "html", "plain"),
    )  # fmt: skip
    torchrun: tuple[str, ...] = option(
        (), "--torchrun", metavar='"..."',
        help="Further flags of torch.distributed.run, in quotes.",
        convert=passed_on,
    )  # fmt: skip
    note: str = ""
    """The comment at the end of the line."""
    overrides: tuple[Override, ...] = ()


def flags() -> dict[str, Flag]:
    """Return each option's declaration by its field's name, in the order of the help."""
    return declared(Options)


def parse(line: str, *, alone: bool = False) -> Options:
    """Read a %%ddp line, without the ``%%ddp`` itself.

    Args:
        line: The line.
        alone: Whether it is a ``%ddp`` line, which has no body.

    Raises:
        OptionError: In two sentences, with the corrected line where there is one.
    """
    parser = LineParser(line, flags())
    values = parser.parse()
    overrides = tuple(Override(target=target, text=text) for target, text in parser.overrides)
    values["note"] = mask_line(values["note"], sure=True)
    values["name"] = mask_line(values.get("name", ""), sure=True)
    options = Options(**values, overrides=overrides)
    check_counts(options)
    if alone and not options.trainer:
        raise OptionError(
            "%ddp alone runs what --trainer names. Write %ddp --trainer MyTrainer, or %%ddp in the "
            "first line of a cell to run that cell."
        )
    return options


def torchrun_argv(options: Options, nproc: int) -> list[str]:
    """Return the flags for torch.distributed.run's own parser, without the script."""
    own = [
        f"--{flag.torchrun}={getattr(options, name)}"
        for name, flag in flags().items()
        if flag.torchrun
    ]
    return [f"--nproc-per-node={nproc}", *own, *options.torchrun]


def help_text() -> str:
    """Return what ``%%ddp?`` shows."""
    declarations = flags().values()
    width = max(len(flag.spelled) for flag in declarations) + 4
    table = "\n".join(
        textwrap.fill(
            flag.help,
            100,
            initial_indent=f"  {flag.spelled}".ljust(width),
            subsequent_indent=" " * width,
        )
        for flag in declarations
    )
    return f"{_INTRODUCTION}\nOptions:\n{table}\n\n{_EXAMPLES}"


def markdown_table() -> str:
    """Return the options as README shows them."""
    rows = [
        f"| `{flag.spelled}` | {flag.help} |".replace("widget|html|", r"widget\|html\|")
        for flag in flags().values()
    ]
    return "\n".join(["| option | meaning |", "| --- | --- |", *rows])


_INTRODUCTION = """\
%%ddp [options] [name=value ...]   # a note for the record

Run this cell on several workers under torch.distributed.run, with what it uses of the notebook.

name=value overrides, in the workers only, a variable that the code reads, what is inside one
(cfg.optim.lr=0.1: attribute, key or index), or an argument of a call in the cell: a parameter
of what the notebook defines, or a keyword that the cell writes. Trainer.lr=0.1 and
model.train.lr=0.1 choose the call. A value is a Python literal, {expression} or $name from the
notebook, true/false/none, else text. A \\ at the end continues the line.
"""

_EXAMPLES = """\
Examples:
  %%ddp --gpus 2 epochs=5 lr=3e-4 -o history,model
  %%ddp --nproc 2 lr={best_lr} --timeout 30m   # the best of the search
"""
