"""Runs in the kernel: what the user has set for all runs, by %ddp_config, traitlets or variables.

``c.DdpMagic.nproc = 4`` in ``ipython_config.py``, ``%config DdpMagic.standby = False``,
``DDP_MAGIC_STANDBY=0``: in each case the same trait; what is set later wins.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from traitlets import Bool, Float, Int, TraitError
from traitlets.config import Configurable

from ddp_magic.errors import OptionError

if TYPE_CHECKING:
    from traitlets.config import Config

__all__ = ["DdpMagic"]

_VARIABLES = {
    "nproc": "DDP_MAGIC_NPROC",
    "standby": "DDP_MAGIC_STANDBY",
    "standby_workers": "DDP_MAGIC_STANDBY_WORKERS",
    "standby_limit": "DDP_MAGIC_STANDBY_LIMIT",
    "standby_idle": "DDP_MAGIC_STANDBY_IDLE",
    "history": "DDP_MAGIC_HISTORY",
}


class DdpMagic(Configurable):
    """Settings for all runs of this kernel; traitlets and %config know them by this name."""

    nproc = Int(
        None, allow_none=True, min=1, help="Workers of a run that says neither --gpus nor --nproc."
    ).tag(config=True)
    standby = Bool(True, help="Keep a worker group waiting, so that runs start at once.").tag(
        config=True
    )
    standby_workers = Int(
        None, allow_none=True, min=1, help="How many workers wait; as many as the last run had."
    ).tag(config=True)
    standby_limit = Int(
        None, allow_none=True, min=0, help="How many may wait on this machine; one for each core."
    ).tag(config=True)
    standby_idle = Float(600.0, min=1, help="Seconds after which waiting workers leave.").tag(
        config=True
    )

    history = Bool(True, help="Keep a small record of every run, for %ddp_runs.").tag(config=True)

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(**({} if config is None else {"config": config}))
        own = {} if config is None else dict(config.get("DdpMagic", {}))
        for name, variable in _VARIABLES.items():
            text = os.environ.get(variable, "")
            # devices reads the first one itself, at every run
            if text and name not in own and name != "nproc":
                self._set_from(variable, name, text)

    def set(self, name: str, text: str) -> None:
        """Set one from text.

        Raises:
            OptionError: There is none of that name, or the text is no value for it.
        """
        trait: Any = self.traits(config=True).get(name)
        if trait is None:
            known = ", ".join(_VARIABLES)
            raise OptionError(f"There is no setting {name}. There are: {known}.")
        try:
            value = _WORDS.get(text.lower()) if isinstance(trait, Bool) else None
            setattr(self, name, trait.from_string(text) if value is None else value)
        except (TraitError, ValueError):
            raise OptionError(
                f"{name} cannot be {text}. {trait.help} Write {name}={_example(trait)}."
            ) from None

    def _set_from(self, variable: str, name: str, text: str) -> None:
        try:
            self.set(name, text)
        except OptionError as error:
            raise OptionError(f"{error} The environment has {variable}={text}.") from None

    def table(self) -> str:
        """Return all settings, a line each."""
        rows = [
            f"{name + '=' + str(getattr(self, name)):<24} {trait.help}"
            for name, trait in self.traits(config=True).items()
        ]
        return "\n".join(rows) + "\n"


_WORDS = {"on": True, "off": False, "yes": True, "no": False}


def _example(trait: Any) -> str:
    return "off" if isinstance(trait, Bool) else "2" if isinstance(trait, Int) else "600"
