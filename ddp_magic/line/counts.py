"""Whether the numbers of workers and ranks on a %%ddp line go together; runs in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddp_magic.errors import OptionError

if TYPE_CHECKING:
    from ddp_magic.options import Options

__all__ = ["check_counts", "check_ranks"]


def check_counts(options: Options) -> None:
    """Refuse several numbers of workers.

    Raises:
        OptionError: The line gives more than one.
    """
    counts = {
        "--gpus": options.gpus,
        "--devices": len(options.devices) or None,
        "--nproc": options.nproc,
    }
    given = {flag: count for flag, count in counts.items() if count is not None}
    if len(set(given.values())) > 1:
        said = " and ".join(
            f"--devices {','.join(options.devices)}" if flag == "--devices" else f"{flag} {count}"
            for flag, count in given.items()
        )
        raise OptionError(
            f"{said} ask for different numbers of workers. Keep one of them: --gpus or --devices "
            "for GPUs, --nproc to take the CPU where GPUs are missing."
        )


def check_ranks(options: Options, world_size: int) -> None:
    """Refuse a `--rank` that the run does not have; called when the number of workers is known.

    Raises:
        OptionError: A rank is too high.
    """
    if options.rank == "all":
        return
    high = [rank for rank in options.rank if rank >= world_size]
    if high:
        raise OptionError(
            f"--rank {high[0]} is not one of this run's {world_size} workers, whose ranks are "
            f"{'only 0' if world_size == 1 else f'0 to {world_size - 1}'}. Write --rank "
            f"{world_size - 1}, or --rank all."
        )
