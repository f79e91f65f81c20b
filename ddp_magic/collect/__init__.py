"""Cell text and live notebook -> Definitions: what the workers need, how each thing travels.

The live object is the truth; source is a rendering of it. No cell is run again, and what nothing
reaches is not written.
"""

from __future__ import annotations

from ddp_magic.collect.collector import Collector
from ddp_magic.collect.definitions import Definitions, How, Item, Reached
from ddp_magic.collect.notebook import Cell, Notebook

__all__ = ["Cell", "Collector", "Definitions", "How", "Item", "Notebook", "Reached"]
