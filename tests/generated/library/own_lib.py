"""A module of the notebook's own, beside it."""

import contextlib
import functools

LIMIT = 10
REGISTRY = {"first": 1}
ITEMS = [1, 2]


def scale(x, by=2):
    """Return it scaled, up to the module's limit."""
    return min(x * by, LIMIT)


def twice(func):
    """Decorate: call it twice."""

    def wrapper(*args):
        return func(*args), func(*args)

    return wrapper


class Base:
    """A class to inherit from."""

    kind = "base"
    made = []

    def __init__(self, size=1):
        self.size = size

    def step(self, by=1):
        return self.size + by

    def describe(self):
        return f"{type(self).__name__} of {self.size}"


class Plugin:
    """Knows its subclasses by name."""

    known = {}

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        Plugin.known[cls.__name__] = cls


class Meta(type):
    """A metaclass of a library."""

    def __new__(mcs, name, bases, namespace, **options):
        namespace["made_by"] = "Meta"
        return super().__new__(mcs, name, bases, namespace)


class Model(metaclass=Meta):
    """Has a metaclass."""

    def run(self):
        return self.made_by


CALLS = 0
HANDLERS = {}


def counted(func):
    """Count the calls of all that it decorates."""

    @functools.wraps(func)
    def wrapper(*args):
        global CALLS
        CALLS += 1
        return func(*args)

    return wrapper


def adder(held):
    """Return a closure of this module."""

    def add(*more):
        return held, more, LIMIT

    return add


class Box:
    """Holds something of somebody else's."""

    def __init__(self, held):
        self.held = held
        self.limit = lambda: LIMIT


class quietly(contextlib.ContextDecorator):  # noqa: N801 - as libraries do
    """A context manager that decorates."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


def register(name):
    """Decorate: remember under a name."""

    def decorate(func):
        HANDLERS[name] = func
        return func

    return decorate
