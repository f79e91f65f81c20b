"""A generated notebook, as text."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

__all__ = ["Notebook"]


@dataclass(frozen=True, kw_only=True)
class Notebook:
    """What is run, collected and compared.

    Attributes:
        cells: Cells in the order in which they run.
        body: What stands below the %%ddp line.
        overrides: Names and the values that the line gives them, as text.
        kernel_names: Whether code is named as ipykernel names it, by the text alone.
        used: The rules that made it, for statistics.
    """

    cells: tuple[str, ...]
    body: str
    overrides: tuple[tuple[str, str], ...] = ()
    kernel_names: bool = False
    used: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The notebook as a reader sees it."""
        line = "%%ddp " + " ".join("=".join(pair) for pair in self.overrides)
        named = "" if self.kernel_names else "# (named as in a terminal)\n"
        cells = [f"# In[{n}]\n{cell}" for n, cell in enumerate(self.cells, 1)]
        return named + "\n".join([*cells, line.rstrip(), self.body])

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Notebook:
        """Read what `to_json` gave."""
        found = json.loads(text)
        return cls(
            cells=tuple(found["cells"]),
            body=found["body"],
            overrides=tuple((name, value) for name, value in found["overrides"]),
            kernel_names=found["kernel_names"],
            used=tuple(found.get("used", ())),
        )
