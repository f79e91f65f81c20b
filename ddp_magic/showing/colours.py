"""The module's text in colours, by Pygments; runs in the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pygments.lexers.python import PythonLexer
from pygments.token import Token

from ddp_magic.views import escape

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["code_html", "rules", "tokens"]

_CLASSES: dict[Any, str] = {
    Token.Comment: "c",
    Token.Keyword.Constant: "a",
    Token.Keyword: "k",
    Token.Operator.Word: "k",
    Token.Literal.String.Interpol: "",
    Token.Literal.String: "s",
    Token.Literal.Number: "n",
    Token.Name.Function: "d",
    Token.Name.Class: "d",
    Token.Name.Decorator: "m",
    Token.Name.Builtin.Pseudo: "",
    Token.Name.Builtin: "b",
}
"""The kinds of token that have a colour of their own, the narrower first."""


_RULES = """\
.c{color:var(--jp-mirror-editor-comment-color,#6e7681);font-style:italic}
.k{color:var(--jp-mirror-editor-keyword-color,#1f883d);font-weight:bold}
.a{color:var(--jp-mirror-editor-atom-color,#9a63e8)}
.s{color:var(--jp-mirror-editor-string-color,#e0323c)}
.n{color:var(--jp-mirror-editor-number-color,#1f883d)}
.d{color:var(--jp-mirror-editor-def-color,#1f7ae0)}
.m{color:var(--jp-mirror-editor-meta-color,#9a63e8)}
.b{color:var(--jp-mirror-editor-builtin-color,#21868f)}
"""


def rules(scope: str) -> str:
    """Return the CSS of the colours, for code below what a selector chooses."""
    return "".join(f"{scope} {rule}" for rule in _RULES.splitlines(keepends=True))


def tokens(code: str) -> list[tuple[Any, str]]:
    """Return the text as tokens; it passes the escape before."""
    lexer = PythonLexer(stripnl=False, ensurenl=False)
    return list(lexer.get_tokens(escape.plain(code)))


def code_html(code: str) -> str:
    """Return the text as HTML, with a span for each piece that has a colour."""
    return "".join(_piece(kind, text) for kind, text in _joined(tokens(code)))


def _joined(pieces: Iterable[tuple[Any, str]]) -> Iterable[tuple[str, str]]:
    """Join neighbours of one colour: a string is several tokens."""
    name, run = "", ""
    for kind, text in pieces:
        new = _class_of(kind)
        if new == name or not text.strip():
            run += text
            continue
        yield name, run
        name, run = new, text
    yield name, run


def _class_of(kind: Any) -> str:
    return next((name for token, name in _CLASSES.items() if kind in token), "")


def _piece(name: str, text: str) -> str:
    shown = escape.html(text)
    return f'<span class="{name}">{shown}</span>' if name and text else shown
