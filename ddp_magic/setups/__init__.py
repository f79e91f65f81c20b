"""The notebook's %%ddp_setup cells, kept as they run; in the kernel.

A setup cell is an ordinary cell of the notebook: a transformer makes a comment of its magic line,
so that errors, display and top-level ``await`` are IPython's own, and its lines keep their numbers.
What runs here, and succeeds, is kept for the workers.
"""

from __future__ import annotations

from ddp_magic.setups.attach import attach
from ddp_magic.setups.kept import Setups

__all__ = ["Setups", "attach"]
