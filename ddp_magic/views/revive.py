"""What is left in the notebook while a run goes on, so that a reloaded page can show it live again.

It is a script in an output: Jupyter runs it in trusted notebooks only, and it does nothing unless
this kernel is alive and no panel of the page's own shows the run. At the end it is removed.
"""

from __future__ import annotations

import re

from ddp_magic.documents import encoded
from ddp_magic.views import page

__all__ = ["revival"]


def revival(name: str, comm: str, kernel: str) -> dict[str, str]:
    """Return the output as a mime bundle; an empty one where it could do nothing.

    Args:
        name: The class of the run's record.
        comm: The id of the panel's comm.
        kernel: The kernel's id on its server; empty where it is unknown.
    """
    if not re.fullmatch(r"[0-9a-f-]+", kernel):
        return {"text/plain": ""}
    facts = {
        "name": name,
        "comm": comm,
        "kernel": kernel,
        "code": page.module(),
        "style": page.style(),
    }
    # in a script element only "<" can end it early
    data = encoded(facts).replace("<", "\\u003c")
    script = f"{page.revive()}\nrevive({data}).catch(() => {{}});"
    html = f'<div class="{name}-revive"></div><script>(() => {{\n{script}\n}})()</script>'
    return {"text/plain": "", "text/html": html}
