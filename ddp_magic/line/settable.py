"""Whether the place that a path leads to can be set, and what to write where not; in the kernel."""

from __future__ import annotations

import copy
import dataclasses
import enum
import inspect
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from ddp_magic.errors import OverrideError
from ddp_magic.line.fields import require_late
from ddp_magic.line.literals import described
from ddp_magic.line.paths import UNKNOWN, read_static
from ddp_magic.masking import MASK, looks_secret, mask_text

if TYPE_CHECKING:
    from ddp_magic.line.paths import Place

__all__ = ["require_settable", "require_taken"]

_CONFIGS = frozenset({"attr", "attrs", "box", "ml_collections", "omegaconf", "pydantic", "yacs"})
"""Libraries whose objects are plain data and may refuse a value: a deep copy tells."""
_LOADERS = frozenset(
    {"batch_sampler", "batch_size", "dataset", "drop_last", "persistent_workers", "sampler"}
)
"""What a DataLoader refuses to have set once it is made."""
_IMMUTABLE_TYPE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE


def require_settable(place: Place, text: str, user_ns: dict[str, Any]) -> None:
    """Refuse what cannot be changed in place.

    Args:
        place: What the path leads to.
        text: The override's right side, for the line that would work.
        user_ns: The notebook's namespace.

    Raises:
        OverrideError: It cannot be set; with what to write instead, where there is something.
    """
    require_late(place)
    if place.item:
        if read_static(type(place.holder), "__setitem__") is UNKNOWN:
            _refuse(
                place, text, f"{place.holder_path} is {described('', place.holder, brief=True)}"
            )
        return
    _require_thawed(place, text, user_ns)
    holder, kind = place.holder, type(place.holder)
    static = read_static(kind, str(place.key))
    if isinstance(holder, type):
        _require_class_attribute(place, holder)
    elif isinstance(static, property) and static.fset is None:
        raise OverrideError(
            f"{place.path} is a property of {kind.__name__} without a setter. "
            "Override what it is computed from."
        )
    elif _fixed(holder, static):
        _refuse(place, text, f"{place.holder_path} is {described('', holder, brief=True)}")


def _require_thawed(place: Place, text: str, user_ns: dict[str, Any]) -> None:
    """Refuse instances of frozen classes, with the line that replaces the whole instance."""
    holder, code, name = place.holder, place.holder_code, place.key
    kind = type(holder)
    if isinstance(holder, enum.Enum):
        _refuse(place, text, f"{place.holder_path} is a member of {kind.__name__}")
    value = _python(place, text)
    instead = ""
    what = f"a frozen {kind.__name__}"
    if isinstance(holder, tuple) and name in getattr(kind, "_fields", ()):
        what = f"a {kind.__name__}, which is a tuple"
        instead = f"{code}._replace({name}={value})"
    elif dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        replace = _replace_function("dataclasses", dataclasses.replace, user_ns)
        instead = f"{replace}({code}, {name}={value})"
    elif getattr(kind.__setattr__, "__name__", "") == "_frozen_setattrs":
        instead = f"{_replace_function('attr', None, user_ns)}({code}, {name}={value})"
    elif _frozen_model(kind):
        instead = f"{code}.model_copy(update={{'{name}': {value}}})"
    if instead:
        raise OverrideError(
            f"{place.holder_path} is {what} and cannot be changed in place. "
            f"Write {place.holder_path}={{{instead}}} to have another in its place."
        )


def _require_class_attribute(place: Place, holder: type) -> None:
    static = read_static(holder, str(place.key))
    if isinstance(holder, enum.EnumMeta) or holder.__flags__ & _IMMUTABLE_TYPE:
        raise OverrideError(
            f"{place.path} cannot be changed: {place.holder_path} is a class whose attributes are "
            "fixed. Override what uses it."
        )
    per_instance = inspect.isdatadescriptor(static) or hasattr(static, "__set_name__")
    if per_instance:
        raise OverrideError(
            f"{place.path} is no value of the class {place.holder_path}, but of each instance. "
            "Override it on an instance, or where the instance is made."
        )


def _fixed(holder: object, static: object) -> bool:
    """Whether an instance takes no attribute of this name (`static` is its class's)."""
    if type(holder).__setattr__ is not object.__setattr__:
        return False
    if inspect.isdatadescriptor(static):
        return type(holder).__module__ == "builtins"
    return not hasattr(holder, "__dict__")


def _frozen_model(kind: type) -> bool:
    config: Any = getattr(kind, "model_config", None)
    return hasattr(kind, "model_copy") and isinstance(config, dict) and bool(config.get("frozen"))


def _replace_function(module: str, function: object, user_ns: dict[str, Any]) -> str:
    """Return how the notebook can call a module's function that makes a changed copy."""
    if function is not None and user_ns.get("replace") is function:
        return "replace"
    name = "evolve" if module == "attr" else "replace"
    known = getattr(user_ns.get(module), "__name__", None) == module
    return f"{module}.{name}" if known else f"__import__('{module}').{name}"


def _python(place: Place, text: str) -> str:
    """Return the override's right side as an expression."""
    if looks_secret(place.path) or mask_text(text) != text:
        return MASK
    if text.startswith("{") and text.endswith("}"):
        return text[1:-1].strip()
    if text.startswith("$"):
        return text[1:]
    try:
        compile(text, "<override>", "eval")
    except (SyntaxError, ValueError):
        return repr(text)
    return text


def _refuse(place: Place, text: str, what: str) -> NoReturn:
    shown = MASK if looks_secret(place.path) else mask_text(text)
    raise OverrideError(
        f"{place.path}={shown} cannot be set: {what}, which cannot be changed in place. "
        f"Override the whole {place.holder_path}, or change it in a cell."
    )


def _require_kept_kind(place: Place, value: object) -> None:
    """Refuse what torch refuses: a number for a parameter or module, another batch size."""
    torch: Any = sys.modules.get("torch")
    if torch is None or place.item:
        return
    if isinstance(place.holder, torch.utils.data.DataLoader) and place.key in _LOADERS:
        raise OverrideError(
            f"{place.holder_path} is a DataLoader, which has its {place.key} from the start. "
            f"Make it in the %%ddp cell, with {place.key}=... in the call, and override that."
        )
    if not isinstance(place.holder, torch.nn.Module):
        return
    for kept, kind in (("_parameters", torch.nn.Parameter), ("_modules", torch.nn.Module)):
        if place.key in vars(place.holder)[kept] and not isinstance(value, (kind, type(None))):
            raise OverrideError(
                f"{place.path} is a {kind.__name__} of the model and takes nothing else. "
                f"For one of the notebook write {place.path}={{name}}."
            )


def require_taken(place: Place, value: object) -> None:
    """Try the assignment on a deep copy, where a library of configurations may refuse it.

    Raises:
        OverrideError: It does, with the library's own words.
    """
    _require_kept_kind(place, value)
    packages = {cls.__module__.partition(".")[0] for cls in type(place.holder).__mro__}
    if not packages & _CONFIGS and not hasattr(type(place.holder), "__attrs_attrs__"):
        return
    try:
        holder = copy.deepcopy(place.holder)
    except Exception:
        return
    try:
        if place.item:
            holder[place.key] = value
        else:
            setattr(holder, str(place.key), value)
    except Exception as error:
        told = str(error.args[0] if error.args else error) or type(error).__name__
        told = " ".join(told.split())
        if looks_secret(place.path):
            told = type(error).__name__  # a library's message may quote the value
        raise OverrideError(
            f"{place.holder_path} takes no such {place.key}: {mask_text(told)[:200].rstrip('.')}. "
            f"Give what it accepts, or change {place.holder_path} in a cell."
        ) from None
