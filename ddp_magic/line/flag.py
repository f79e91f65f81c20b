"""How an option of the %%ddp line is declared; runs in the kernel."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Flag", "declared", "option"]


@dataclass(frozen=True, kw_only=True)
class Flag:
    """What the line knows of one option.

    Attributes:
        flags: Its spellings; the last is the one that messages use.
        metavar: What its value is called; empty where it takes none.
        help: What it does, in one sentence.
        convert: Makes the value of the text; raises OptionError.
        optional: Whether the value may be left out.
        repeat: Whether it may be given several times.
        hidden: Spellings that are accepted and not advertised.
        choices: Words that completion offers; ``{names}`` stands for the notebook's variables.
        torchrun: The flag of torch.distributed.run that gets the value.
    """

    flags: tuple[str, ...]
    metavar: str = ""
    help: str
    convert: Callable[[str], Any] = str
    optional: bool = False
    repeat: bool = False
    hidden: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    torchrun: str = ""

    @property
    def name(self) -> str:
        """The spelling that messages use."""
        return self.flags[-1]

    @property
    def spelled(self) -> str:
        """The option as the help shows it: ``-g, --gpus N``."""
        value = f"[{self.metavar}]" if self.optional else self.metavar
        return f"{', '.join(self.flags)} {value}".strip()


def option(default: Any, *spellings: str, **about: Any) -> Any:
    """Return a dataclass field that is an option; `about` goes to `Flag`."""
    return field(default=default, metadata={"flag": Flag(flags=spellings, **about)})


def declared(options: type) -> dict[str, Flag]:
    """Return each option's declaration by its field's name, in the order of the help."""
    everything: tuple[Field[Any], ...] = fields(options)
    return {f.name: f.metadata["flag"] for f in everything if "flag" in f.metadata}
