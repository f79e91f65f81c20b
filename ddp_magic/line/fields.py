"""Fields of a transformers TrainingArguments of the notebook, as overrides; runs in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddp_magic.errors import OverrideError
from ddp_magic.pickling.per_rank import ARGUMENTS
from ddp_magic.typenames import type_names

if TYPE_CHECKING:
    from ddp_magic.line.paths import Place
    from ddp_magic.line.targets import Cell

__all__ = ["held", "require_late"]

_AT_MAKING = frozenset(
    {
        *("accelerator_config", "bf16", "ddp_backend", "ddp_timeout", "deepspeed", "fp16", "fsdp"),
        *("fsdp_config", "load_best_model_at_end", "metric_for_best_model", "no_cuda", "report_to"),
        *("tf32", "torch_compile", "torch_compile_backend", "torch_compile_mode", "use_cpu"),
    }
)
"""What its ``__post_init__`` makes something else of, which is what training reads."""


def held(cell: Cell, name: str) -> list[str]:
    """Return the paths to a field of this name in what workers read, one for each object."""
    found: dict[int, str] = {}
    for variable in sorted(cell.reads):
        value = cell.user_ns.get(variable)
        if cell.is_variable(variable) and _is_arguments(value) and name in _fields(value):
            found.setdefault(id(value), f"{variable}.{name}")
    return [*found.values()]


def _is_arguments(value: object) -> bool:
    return ARGUMENTS in type_names(type(value))


def _fields(value: Any) -> dict[str, Any]:
    return getattr(type(value), "__dataclass_fields__", {})


def require_late(place: Place) -> None:
    """Refuse a field that counts only when the object is made.

    Raises:
        OverrideError: It is such a field.
    """
    if place.key in _AT_MAKING and _is_arguments(place.holder):
        raise OverrideError(
            f"{place.path} counts when a TrainingArguments is made, and {place.holder_path} is made"
            f" already. Make it in the %%ddp cell, with {place.key}=... in the call, and override "
            "that."
        )
