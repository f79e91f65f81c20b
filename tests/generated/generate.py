"""Draws whole notebooks: cells by rules and idioms, then a body that looks at what they made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from tests.generated import idioms_classes, idioms_functions, idioms_odd, idioms_values
from tests.generated.notebook import Notebook
from tests.generated.writer import Thing, Writer

__all__ = ["generate"]

_IDIOMS = [
    *idioms_functions.IDIOMS,
    *idioms_classes.IDIOMS,
    *idioms_values.IDIOMS,
    *idioms_odd.IDIOMS,
]


def generate(random: Random) -> Notebook:
    """Draw a notebook."""
    writer = Writer(random)
    for _ in range(1 + random.randrange(14)):
        rule = writer.pick(_RULES)
        try:
            rule(writer)
        except LookupError:
            continue
        if writer.chance(55):
            writer.cut()
    overrides = _overrides(writer)
    kernel_names = writer.chance(50)
    return writer.finish(_body(writer), overrides=overrides, kernel_names=kernel_names)


def _overrides(writer: Writer) -> tuple[tuple[str, str], ...]:
    names = [n for n, t in writer.names.items() if t.kind == "int" and n.isascii()]
    return ((str(writer.pick(names)), "77"),) if names and writer.chance(8) else ()


# ---------------------------------------------------------------------- cells


def _idiom(writer: Writer) -> None:
    name, text, binds = writer.pick(_IDIOMS)
    names: dict[str, str] = {}
    writer.say(writer.fill(text, names))
    writer.used[name] += 1
    for hole, thing in binds.items():
        writer.bind(names.get(hole, hole), _local(thing, names))


def _local(thing: Thing, names: dict[str, str]) -> Thing:
    """Return a thing whose uses say the names that were drawn."""

    def named(texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_with_names(text, names) for text in texts)

    return replace(
        thing,
        calls=named(thing.calls),
        changes=named(thing.changes),
        makes=(named(thing.makes[0]), named(thing.makes[1])),
        parts={},
    )


def _with_names(text: str, names: dict[str, str]) -> str:
    for hole, name in names.items():
        if hole.startswith("$"):
            text = text.replace(hole, name)
    return text


def _literal(writer: Writer) -> None:
    name, kind = writer.new_name("X"), "val"
    text = writer.literal()
    if writer.chance(40):
        text, kind = writer.number(), "int"
    writer.say(f"{name} = {text}")
    writer.bind(name, Thing(kind, frozen=True))


def _container(writer: Writer) -> None:
    name = writer.new_name("X")
    parts: dict[str, Thing] = {}
    pairs = []
    for key in range(1 + writer.random.randrange(4)):
        found = writer.some()
        text, thing = found or (writer.literal(), Thing("val", frozen=True))
        pairs.append((key, text))
        parts[f"[{key}]"] = thing
    shape = writer.pick(["list", "list", "tuple", "dict", "nested"])
    texts = [text for _, text in pairs]
    if shape == "list":
        text, kind = f"[{', '.join(texts)}]", "list"
    elif shape == "tuple":
        text, kind = f"({', '.join(texts)},)", "tuple"
    elif shape == "dict":
        text, kind = "{" + ", ".join(f"{k}: {t}" for k, t in pairs) + "}", "dict"
    else:
        text, kind = f"[[{texts[0]}, [{texts[-1]}]], {{'k': {texts[0]}}}]", "list"
        parts = {"[0][0]": parts["[0]"], "[1]['k']": parts["[0]"]}
    writer.say(f"{name} = {text}")
    changes = {"list": ("@.append(?any)", "@.reverse()"), "dict": ("@['z'] = ?any",)}
    writer.bind(name, Thing(kind, ("len(@)",), changes.get(kind, ()), parts))


def _alias(writer: Writer) -> None:
    found = writer.some()
    if found is None:
        raise LookupError
    name = writer.new_name("X")
    writer.say(f"{name} = {found[0]}")
    writer.bind(name, found[1])


def _old_name(writer: Writer) -> None:
    """Keep something under a name of its own, as before it is defined again."""
    found = writer.some("fn", "cls", "obj")
    if found is None:
        raise LookupError
    name = writer.fresh()
    writer.say(f"{name} = {found[0]}")
    writer.bind(name, found[1])


def _instance(writer: Writer) -> None:
    found = writer.some("cls")
    if found is None:
        raise LookupError
    ref, kind = found
    name = writer.new_name("X")
    writer.say(f"{name} = {writer.fill(str(kind.calls[0]).replace('@', ref))}")
    writer.bind(name, Thing("obj", *kind.makes))


def _hold(writer: Writer) -> None:
    """Put something into something."""
    held, holder = writer.some(), writer.some("list", "dict", "obj", "cls", "fn")
    if held is None or holder is None:
        raise LookupError
    ref, thing = holder
    step = {"list": "[0]", "dict": "['k']"}.get(thing.kind, ".x")
    writer.say(f"{ref}{step} = {held[0]}")
    thing.parts[step] = held[1]


def _change(writer: Writer) -> None:
    found = [(r, t) for r, t in writer.things() if t.changes]
    if not found:
        raise LookupError
    ref, thing = writer.pick(found)
    writer.say(writer.fill(writer.pick(thing.changes).replace("@", ref)))


def _call(writer: Writer) -> None:
    name = writer.new_name("X") if writer.chance(50) else ""
    writer.say(f"{name} = {writer.call()}" if name else writer.call())
    if name:
        writer.bind(name, Thing("val"))


def _delete(writer: Writer) -> None:
    if not writer.names:
        raise LookupError
    name = writer.pick([n for n in sorted(writer.names) if not n.startswith("old")] or ["a"])
    writer.say(f"del {name}")
    writer.names.pop(name, None)


def _fail(writer: Writer) -> None:
    text = writer.pick(["1 / 0", "raise ValueError('no')", "undefined_name", "x = = 1", "?any.no"])
    writer.say(writer.fill(text))
    writer.cut()


def _again(writer: Writer) -> None:
    writer.run_again()


def _magic(writer: Writer) -> None:
    """Begin a cell whose code IPython runs in its own way."""
    writer.cut()
    writer.say(writer.pick(["%%time", "%%capture out"]))
    _idiom(writer)
    writer.cut()


_RULES: list[Callable[[Writer], None]] = [
    *[_idiom] * 14,
    *[_container] * 3,
    *[_alias] * 2,
    *[_old_name] * 2,
    *[_instance] * 4,
    *[_hold] * 3,
    *[_change] * 2,
    *[_call] * 2,
    _literal,
    _delete,
    _fail,
    _again,
    _magic,
]

# ---------------------------------------------------------------------- the body


def _body(writer: Writer) -> str:
    names = sorted(writer.names)
    for name in names:
        if len(names) > 2 and writer.chance(45):
            del writer.names[name]  # the body does not say it; what it says may reach it
    lines = ["from probes import attempt, same, show"]
    for _ in range(2 + writer.random.randrange(7)):
        try:
            lines.append(writer.fill(writer.pick(_LINES)(writer)))
        except LookupError:
            continue
    lines.append(f"attempt(lambda: ({', '.join(sorted(writer.names))}))")
    return "\n".join(lines)


def _attempt(writer: Writer) -> str:
    return f"attempt(lambda: {writer.call()})"


def _show(writer: Writer) -> str:
    shown = ", ".join(writer.anything() for _ in range(1 + writer.random.randrange(3)))
    return f"attempt(lambda: ({shown}))"


def _relate(writer: Writer) -> str:
    return str(
        writer.pick(
            [
                "attempt(lambda: same(?any1, ?any2))",
                "attempt(lambda: (isinstance(?obj1, ?cls1), type(?obj1) is ?cls1))",
                "attempt(lambda: issubclass(?cls1, ?cls2))",
                "attempt(lambda: ?any1 == ?any2)",
                "attempt(lambda: (?fn.__globals__ is globals(), ?fn.__module__))",
                "attempt(lambda: [k.__name__ for k in ?cls.__mro__])",
                "attempt(lambda: (?any1 in ?list1, ?any1 in ?dict1))",
            ]
        )
    )


def _alter(writer: Writer) -> str:
    found = [(r, t) for r, t in writer.things() if t.changes]
    if not found:
        raise LookupError
    ref, thing = writer.pick(found)
    change = writer.pick(thing.changes).replace("@", ref)
    return _guarded(change) + f"\nattempt(lambda: {ref})"


def _remove(writer: Writer) -> str:
    name = writer.pick(sorted(writer.names)) if writer.names else "n"
    writer.names.pop(name, None)
    return _guarded(f"del {name}")


def _guarded(statement: str) -> str:
    return f"try:\n    {statement}\nexcept Exception as e:\n    show(type(e).__name__)"


def _do(writer: Writer) -> str:
    return str(
        writer.pick(
            [
                "def now(x=?any):\n    return ?any, ?any, x\nattempt(now)",
                "def now():\n    global n, total\n    n = total = #\n    return ?any\nattempt(now)",
                "def inherit():\n    class Here(?cls1):\n        here = ?any\n    return Here.__mro__, Here().step()\nattempt(inherit)",
                "def every():\n    return [each(#) for each in (?fn, ?fn)]\nattempt(every)",
                "n = 50\nshow(n)",
                "f = lambda x=1: ('body', x)",
                "import pickle\nattempt(lambda: pickle.loads(pickle.dumps(?any1)))",
                "import copy\nattempt(lambda: copy.deepcopy(?obj1))",
                "import copy\nattempt(lambda: copy.copy(?any1))",
                "attempt(lambda: globals()['?int'] if 0 else sorted({'n', 'f', 'A'} & globals().keys()))",
                "attempt(lambda: eval('?int'))",
                "import __main__\nattempt(lambda: __main__.n)",
                "?obj.x = ?any",
                "def patch():\n    ?cls.added = lambda self: ('added', self.x)\n    return ?obj.added()\nattempt(patch)",
                "try:\n    ?fn(#)\nexcept ?cls as e:\n    show(e)\nexcept Exception as e:\n    show(type(e).__name__)",
                "attempt(lambda: [(each, ?any) for each in (?any, ?any)])",
                "import typing\nattempt(lambda: sorted(map(str, typing.get_type_hints(?fn))))",
                "attempt(lambda: sorted(vars(?obj)))",
                "match ?any:\n    case {'k': v}:\n        show(v)\n    case [one, *_]:\n        show(one)\n    case _:\n        show('else')",
            ]
        )
    )


_LINES: list[Callable[[Writer], str]] = [
    *[_attempt] * 8, *[_show] * 3, *[_relate] * 3, *[_alter] * 3, *[_do] * 3, _remove
]  # fmt: skip
