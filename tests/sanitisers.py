"""What other sites leave of HTML in a notebook's outputs.

GitHub's renderer of notebooks is closed. What is known of it:

- Its markup is cleaned by an allowlist that it has published: `html-pipeline`, now
  https://github.com/gjtorikian/html-pipeline/blob/main/lib/html_pipeline/sanitization_filter.rb
  (read at commit 28c8372): elements and attributes as below, no style, class or id of one's own,
  and ``src`` with http, https or a relative address.
- In notebooks it removes style elements, style attributes and scripts: pandas#33076, pandas#37936,
  seaborn#1090, jupyter/nbviewer#450. Images with a data address are shown again since December
  2021 (atoti-notebooks#425); before that they were not. Details were not folded in November 2021,
  and all their text was seen (volkamerlab/teachopencadd#189).

So there are three: the allowlist, the same with images, and the worst that was reported. nbviewer
removes nothing. What JupyterLab removes where a notebook is not trusted, JupyterLab itself shows in
`test_browser_hostile`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import bleach

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SITES"]

_TAGS = frozenset(
    re.findall(
        r"\S+",
        "h1 h2 h3 h4 h5 h6 br b i strong em a pre code img tt div ins del sup sub p ol ul table "
        "thead tbody tfoot blockquote dl dt dd kbd q samp var hr ruby rt rp li tr td th s strike "
        "summary details caption figure figcaption abbr bdo cite dfn mark small span time wbr",
    )
)
_ANY = re.findall(
    r"\S+",
    "abbr align alt aria-describedby aria-hidden aria-label aria-labelledby axis border char clear "
    "cellpadding cellspacing colspan color compact datetime dir headers height hspace id label "
    "lang media name nowrap open progress rel role rows rowspan rules scope size span start "
    "summary tabindex title type valign value width",
)
_ATTRIBUTES = {"a": ["href"], "img": ["src", "longdesc"], "*": _ANY}


def _site(tags: frozenset[str], *protocols: str) -> Callable[[str], str]:
    def clean(html: str) -> str:
        return bleach.clean(
            html, tags=tags, attributes=_ATTRIBUTES, protocols=protocols, strip=True
        )

    return clean


SITES = {
    "GitHub by its published list": _site(_TAGS, "http", "https"),
    "GitHub as it shows notebooks now": _site(_TAGS, "http", "https", "data"),
    "GitHub at its worst": _site(_TAGS - {"details", "summary", "img"}, "http", "https"),
    "nbviewer": lambda html: html,
}
"""Functions from HTML to HTML."""
