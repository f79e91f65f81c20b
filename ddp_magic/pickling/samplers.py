"""A DistributedSampler is one rank's: each rank gets its own, the kernel gets one of everything.

Runs in kernel and workers. Without a process group, a notebook's cell can only make one for a rank
that it names; sent as it is, all ranks would train on that one's part of the data. One that comes
back would give the notebook a part where the whole is meant.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ddp_magic.attributes import own_dict
from ddp_magic.typenames import type_name

if TYPE_CHECKING:
    from ddp_magic.pickling.instances import Plan

__all__ = ["SAMPLER", "is_remade", "settle", "to_kernel", "to_ranks"]

SAMPLER = "torch.utils.data.distributed.DistributedSampler"


def is_remade(obj: Any, size: int) -> bool:
    """Whether each of so many ranks gets its own of this: torch has made it, for all or for one.

    What a subclass has computed when it was made is not known, nor is what a number of parts is for
    that is not the run's.
    """
    maker = next(k for k in type(obj).__mro__ if "__init__" in vars(k))
    own = own_dict(obj)
    known = (own.get("num_replicas"), own.get("rank"))
    ours = known[0] == size or known == (1, 0)
    return type_name(maker) == SAMPLER and ours


def to_ranks(usual: Plan) -> Plan:
    """Return how a sampler is written that becomes the reader's own."""

    def write(obj: Any) -> tuple[Any, ...]:
        make, arguments, *rest = usual(obj) or obj.__reduce_ex__(5)
        setter = rest[3] if len(rest) > 3 else None
        return make, arguments, (setter, rest[0] if rest else {}), None, None, settle

    return write


def settle(made: Any, told: tuple[Any, Any]) -> None:
    """Fill a sampler, and have torch make it again for this rank."""
    setter, state = told
    if setter is not None:
        setter(made, state)
    else:
        vars(made).update(state)
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if not is_remade(made, size):
        return
    epoch, make_again = made.epoch, made.__init__
    make_again(
        made.dataset,
        num_replicas=size,
        rank=int(os.environ.get("RANK", "0")),
        shuffle=made.shuffle,
        seed=made.seed,
        drop_last=made.drop_last,
    )
    made.epoch = epoch


def to_kernel(usual: Plan) -> Plan:
    """Return how a sampler of a rank is written that reads everything in the kernel."""

    def write(obj: Any) -> tuple[Any, ...] | None:
        make, arguments, *rest = usual(obj) or obj.__reduce_ex__(5)
        if not rest or type(rest[0]) is not dict or any(rest[1:]):
            return usual(obj)  # the notebook's own, and written in a way of its own
        size = len(obj.dataset)
        whole = {"num_replicas": 1, "rank": 0, "num_samples": size, "total_size": size}
        return make, arguments, {**rest[0], **whole}

    return write
