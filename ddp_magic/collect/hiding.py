"""Keys in a cell's text: where they stand, and the text without them; runs in the kernel.

What is written to be read (the module, the body, lines for tracebacks) has ``'***'`` in their
place. The live code, which has the key, travels in the private file of values.
"""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
from typing import TYPE_CHECKING, TypeAlias

from ddp_magic.collect.texts import parse
from ddp_magic.masking import (
    MASK,
    Suspicion,
    is_key,
    looks_random,
    looks_secret,
    mask_line,
    suspicion,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["hide", "holds_key", "key_nodes"]

_Pair: TypeAlias = tuple[str, ast.AST | None]
_Span: TypeAlias = tuple[tuple[int, int], tuple[int, int], str]

_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r"""(["'])([^"'\n]{8,})\1""")
_STRING = re.compile(r"""(["'])(?:\\.|(?!\1)[^\\\n])*\1""")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""What `str.splitlines` breaks lines at, as the cells' lines are."""
_ASKS = re.compile(
    r"(get|load|read|fetch|find|has|is|ask|check|from|prompt|input|delete|remove)(?![a-z])"
)
_SETS = re.compile(r"(get|getenv|setdefault|putenv|setenv|set|set_key|pop|setattr|getattr)$")
_LOGIN = re.compile(r"login|log_in|authenticat|authoriz", re.IGNORECASE)


def holds_key(text: str) -> bool:
    """Whether a source text has what looks like a key, in a string or in a comment."""
    return hide(text) != text


@functools.lru_cache(maxsize=1024)
def hide(text: str) -> str:
    """Return a source text with ``'***'`` for each key; its lines stay where they are."""
    if not _is_suspect(text):
        return text
    lines: list[str] = _LINE.findall(text)
    try:
        tree = parse(text)
        nodes = key_nodes(tree) if tree else None
    except RecursionError:  # a sum of a thousand strings
        nodes = None
    if nodes is None:
        return "".join(mask_line(_STRING.sub(repr(MASK), line), sure=True) for line in lines)
    spans = [*_literal_spans(nodes, lines), *_comment_spans(text)]
    for first, last, new in sorted(spans, reverse=True):
        (row, start), (end_row, end) = first, last
        joined = lines[row][:start] + new + lines[end_row][end:]
        lines[row : end_row + 1] = _LINE.findall(joined)
    return "".join(lines)


def _is_suspect(text: str) -> bool:
    """Whether it is worth parsing: the words are in many cells, and the keys in few."""
    told = {suspicion(word) for word in set(_WORD.findall(text))}
    if Suspicion.SURE in told or is_key(text):
        return True
    maybe = Suspicion.SOME in told or _LOGIN.search(text) is not None
    return maybe and any(looks_random(found[1]) for found in _QUOTED.findall(text))


def key_nodes(tree: ast.AST) -> list[ast.expr]:
    """Return the string literals and f-strings in a tree that look like keys."""
    inside: dict[ast.AST, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and node not in inside:
            inside |= dict.fromkeys(ast.walk(node), node)
    found: dict[ast.expr, None] = {}
    for node in ast.walk(tree):
        for name, value in [("", node), *_named(node)]:
            for literal, text in _texts(value) if name else _text(node):
                if is_key(text, name):
                    found[inside.get(literal, literal)] = None
    return list(found)


def _text(node: ast.AST | None) -> Iterator[tuple[ast.expr, str]]:
    """Yield a literal with its text; of an f-string, what stands between the braces."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
        value = node.value
        yield node, value if isinstance(value, str) else value.decode("latin-1")
    elif isinstance(node, ast.JoinedStr):
        yield node, "".join(text for part in node.values for _, text in _text(part))


def _texts(node: ast.AST | None) -> Iterator[tuple[ast.expr, str]]:
    """Yield the literals that an expression's value is made of."""
    match node:
        case ast.Constant() | ast.JoinedStr():
            yield from _text(node)
            return
        case ast.BinOp(left=left, right=right):
            parts: Iterable[ast.expr] = (left, right)
        case ast.BoolOp(values=parts) | ast.Dict(values=parts):
            pass
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            pass
        case ast.IfExp(body=body, orelse=orelse):
            parts = (body, orelse)
        case ast.Lambda(body=body) | ast.Starred(value=body) | ast.NamedExpr(value=body):
            parts = (body,)
        case ast.Call(func=ast.Attribute(value=ast.Constant() as made)):
            parts = (made,)  # "...".encode()
        case _:
            return
    for part in parts:
        yield from _texts(part)


def _named(node: ast.AST) -> Iterator[_Pair]:
    """Yield the names that a node gives to expressions, as in ``f(api_key="...")``."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _assigned(target, value)
        case ast.AnnAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
            yield from _assigned(target, value)
        case ast.keyword(arg=str(name), value=value):
            yield "auth_token" if name == "token" else name, value
        case ast.arguments():
            positional = [*node.posonlyargs, *node.args]
            first = len(positional) - len(node.defaults)
            yield from ((a.arg, d) for a, d in zip(positional[first:], node.defaults, strict=True))
            yield from ((a.arg, d) for a, d in zip(node.kwonlyargs, node.kw_defaults, strict=True))
        case ast.Dict(keys=keys, values=values):
            yield from ((_said(k), v) for k, v in zip(keys, values, strict=True))
        case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq()], comparators=[right]):
            yield from ((_said(left), right), (_said(right), left))
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield from ((name, s.value) for s in ast.walk(node) if isinstance(s, ast.Return))
        case ast.Call():
            yield from _arguments(node)
        case _:
            pass


def _assigned(target: ast.expr, value: ast.expr | None) -> Iterator[_Pair]:
    if isinstance(target, (ast.Tuple, ast.List)):
        if isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts):
            for one, part in zip(target.elts, value.elts, strict=True):
                yield from _assigned(one, part)
        return
    yield _said(target), value


def _arguments(call: ast.Call) -> Iterator[_Pair]:
    """Yield what a call's own name, or an argument before another one, says of arguments."""
    callee = _said(call.func)
    for name, value in zip(call.args, call.args[1:], strict=False):
        if isinstance(name, ast.Constant):
            yield (_said(name) if _SETS.match(callee) else _weaker(_said(name))), value
    if not _ASKS.match(callee):
        sure = suspicion(callee) is Suspicion.SURE
        name = callee if sure else "token" if looks_secret(callee) or _LOGIN.search(callee) else ""
        yield from ((name, argument) for argument in call.args if name)


def _weaker(name: str) -> str:
    return "token" if looks_secret(name) else ""


def _said(node: ast.expr | None) -> str:
    """Return the last name of an expression: ``api_key`` of ``a.api_key`` and ``d["api_key"]``."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
            return name if len(name) < 100 else ""
        case ast.Subscript(slice=key):
            return _said(key)
        case _:
            return ""


def _literal_spans(nodes: Iterable[ast.expr], lines: list[str]) -> Iterator[_Span]:
    for node in nodes:
        row, end_row = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        start, end = (
            _column(lines[row], node.col_offset),
            _column(lines[end_row], node.end_col_offset),
        )
        behind = len(lines[end_row]) - end
        hidden = "".join(lines[row : end_row + 1])
        hidden = hidden[start : len(hidden) - behind]
        breaks = "".join(part[len(part.rstrip(_BREAKS)) :] for part in hidden.splitlines(True))
        raw = "b" if isinstance(node, ast.Constant) and isinstance(node.value, bytes) else ""
        quote = "'''" if end_row > row else "'"
        yield (row, start), (end_row, end), f"{raw}{quote}{MASK}{breaks}{quote}"


def _column(line: str, offset: int | None) -> int:
    """Return the column of a byte's place in a line."""
    return len(line.encode("utf-8", "surrogatepass")[:offset].decode("utf-8", "replace"))


def _comment_spans(text: str) -> Iterator[_Span]:
    if "#" not in text:
        return
    try:
        for token in tokenize.generate_tokens(io.StringIO(text, newline=None).readline):
            new = mask_line(token.string, sure=True) if token.type == tokenize.COMMENT else ""
            if new not in ("", token.string):
                (row, start), (end_row, end) = token.start, token.end
                yield (row - 1, start), (end_row - 1, end), new
    except (tokenize.TokenError, SyntaxError):
        return
