"""Chooses where the workers run: which GPUs, or the CPU; runs in the kernel, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddp_magic.errors import DeviceError, OptionError
from ddp_magic.gpu import Gpu, Holder, Source
from ddp_magic.gpu.build import torch_has_cuda
from ddp_magic.gpu.occupancy import Occupancy, holders_of, kernel_memory, uses_cuda
from ddp_magic.gpu.shortage import CPU_WORKERS, ONE_INSTANCE, ends, held, refuse
from ddp_magic.gpu.visibility import ORDER_ADVICE, Visible, matching, visible
from ddp_magic.line.conversions import worker_count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ddp_magic.options import Options

__all__ = [
    "Gpu",
    "Holder",
    "Placement",
    "Source",
    "choose",
    "holders_of",
    "kernel_memory",
    "torch_has_cuda",
]

_NO_CUDA = "the installed torch is built without CUDA"


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the workers of a run go.

    Attributes:
        world_size: How many there are.
        env: For all of them: CUDA_VISIBLE_DEVICES, as UUIDs, or empty on the CPU. It has taken an
            `--env CUDA_VISIBLE_DEVICES=…` into account and stands over it.
        labels: Per rank, for people: ``cuda:1 NVIDIA H200`` in the kernel's numbers, or ``CPU``.
        notices: What the user should know about the choice; one sentence each.
    """

    world_size: int
    env: dict[str, str]
    labels: tuple[str, ...]
    notices: tuple[str, ...] = ()

    @property
    def uuids(self) -> tuple[str, ...]:
        """The GPUs that the workers hold."""
        return tuple(filter(None, self.env.get("CUDA_VISIBLE_DEVICES", "").split(",")))


def choose(
    options: Options,
    source: Source,
    *,
    environ: Mapping[str, str],
    kernel_pid: int,
    cuda_build: bool | None,
    kernel_uses_cuda: bool | None = None,
    claims: Mapping[str, str] | None = None,
) -> Placement:
    """Place the workers as the line asks.

    Args:
        options: The line.
        source: The machine's GPUs.
        environ: The kernel's environment; `--env` stands over it.
        kernel_pid: The kernel, whose own memory does not count as another's.
        cuda_build: Whether the workers' torch can use CUDA; None where that is not known.
        kernel_uses_cuda: Whether the kernel has CUDA open; looked up where not given.
        claims: Which run of this notebook holds a GPU, by UUID; sharing that would be a slip.

    Raises:
        DeviceError: What was asked for is not there, not free or not usable.
    """
    environ = {**environ, **dict(options.env)}
    seen = _look(source, environ, cuda_build)
    opened = uses_cuda(kernel_pid) if kernel_uses_cuda is None else kernel_uses_cuda
    occupancy = Occupancy(seen, kernel_pid, opened, claims or {})
    if options.devices:
        return _on(_exactly(options.devices, occupancy), occupancy)
    count = options.gpus or options.nproc or _default_count(environ)
    counted = isinstance(count, int)
    gpus = _first(count, occupancy) if counted else _all_free(occupancy)
    if not gpus and options.gpus is not None:
        number = count if counted else 1
        refuse(f"--gpus {count}", number, _free(occupancy, number), occupancy)
    notice = "" if counted else _left_out(occupancy)
    return _on(gpus, occupancy, notice) if gpus else _on_cpu(count, occupancy)


def _look(source: Source, environ: Mapping[str, str], cuda_build: bool | None) -> Visible:  # noqa: FBT001
    try:
        gpus = source.gpus()
    except DeviceError as error:
        return Visible(reason=str(error))
    no_cuda = gpus and cuda_build is False
    return Visible(reason=_NO_CUDA) if no_cuda else visible(gpus, environ)


def _default_count(environ: Mapping[str, str]) -> int | None:
    text = environ.get("DDP_MAGIC_NPROC", "")
    if not text:
        return None
    try:
        return worker_count(text)
    except OptionError:
        raise DeviceError(
            f"DDP_MAGIC_NPROC={text} is no number of workers. Set it to 2, or write --nproc 2."
        ) from None


def _free(occupancy: Occupancy, count: int) -> list[Gpu]:
    """Return the free GPUs in the kernel's order; a MIG instance only for one worker."""
    candidates = occupancy.visible.gpus if count == 1 else occupancy.whole
    return [gpu for gpu in candidates if occupancy.is_free(gpu)]


def _first(count: int, occupancy: Occupancy) -> list[Gpu]:
    """Return so many free GPUs, those with most free memory, or none if there are fewer."""
    free = _free(occupancy, count)
    best = sorted(free, key=lambda gpu: (gpu.mig, -gpu.free))[:count]
    return [gpu for gpu in free if gpu in best] if len(best) == count else []


def _all_free(occupancy: Occupancy) -> list[Gpu]:
    """Return every free GPU, or the MIG instance with most memory where there is nothing else."""
    return _free(occupancy, 2) or _first(1, occupancy)


def _left_out(occupancy: Occupancy) -> str:
    busy = [gpu for gpu in occupancy.whole if not occupancy.is_free(gpu)]
    return f"GPUs in use are left out: {held(busy, occupancy)}." if busy else ""


def _exactly(names: Sequence[str], occupancy: Occupancy) -> list[Gpu]:
    """Return the GPUs of a `--devices` list in its order, whoever uses them."""
    option = f"--devices {','.join(names)}"
    if not occupancy.visible.gpus:
        refuse(option, len(names), [], occupancy)
    chosen: list[Gpu] = []
    for name in names:
        gpu = _called(name, option, occupancy)
        if gpu in chosen:
            raise DeviceError(
                f"{option} names {occupancy.label(gpu)} twice, and a GPU takes one worker. "
                "Keep one of its names."
            )
        if gpu.uuid in occupancy.claims:
            raise DeviceError(
                f"{option}: {held([gpu], occupancy)}, which is still going on. "
                f"{ends([gpu], occupancy)}"
            )
        chosen.append(gpu)
    if len(chosen) > 1 and any(gpu.mig for gpu in chosen):
        raise DeviceError(
            f"{option} asks for several devices with a MIG instance among them, and "
            f"{ONE_INSTANCE}. Name one instance alone, or GPUs that are not divided."
        )
    return chosen


def _called(name: str, option: str, occupancy: Occupancy) -> Gpu:
    seen = occupancy.visible
    if not name.isdecimal():
        found = matching(name, seen.gpus)
        problem = "several GPUs" if found else "no GPU that this kernel sees"
    elif seen.ordered:
        found = seen.numbered[int(name) : int(name) + 1]
        problem = "no GPU that this kernel sees"
    else:
        raise DeviceError(
            f"{option} counts GPUs that differ, and the kernel's order of them is not known. "
            f"{ORDER_ADVICE}."
        )
    if len(found) == 1:
        return found[0]
    there = ", ".join(f"{occupancy.option(gpu)} ({gpu.name})" for gpu in seen.gpus)
    limit = "" if seen.limit is None else f" (CUDA_VISIBLE_DEVICES={seen.limit})"
    raise DeviceError(f"{option}: {name} means {problem}{limit}. There is {there}.")


def _on(gpus: Sequence[Gpu], occupancy: Occupancy, notice: str = "") -> Placement:
    """Place one worker on each of these GPUs."""
    shared = [f"{held([gpu], occupancy)} as well." for gpu in gpus if not occupancy.is_free(gpu)]
    own = [occupancy.own_notice(gpu) for gpu in gpus]
    return Placement(
        world_size=len(gpus),
        env={"CUDA_VISIBLE_DEVICES": ",".join(gpu.uuid for gpu in gpus)},
        labels=tuple(occupancy.label(gpu) for gpu in gpus),
        notices=tuple(filter(None, (*occupancy.visible.notices, notice, *shared, *own))),
    )


def _on_cpu(count: int | str | None, occupancy: Occupancy) -> Placement:
    """Place the workers on the CPU; says why unless the line asked for no more than that."""
    seen = occupancy.visible
    world_size = count if isinstance(count, int) else CPU_WORKERS
    notices = [*seen.notices]
    if seen.gpus:
        busy = [gpu for gpu in seen.gpus if not occupancy.is_free(gpu)]
        free = len(_free(occupancy, world_size))
        holders = f": {held(busy, occupancy)}" if busy else ""
        notices.append(
            f"The {world_size} workers train on the CPU, because {free} of {len(seen.gpus)} GPUs "
            f"can be used{holders}."
        )
    elif count is None:
        notices.append(f"The {world_size} workers train on the CPU: {seen.reason}.")
    return Placement(
        world_size=world_size,
        env={"CUDA_VISIBLE_DEVICES": ""},
        labels=("CPU",) * world_size,
        notices=tuple(notices),
    )
