"""A module of the notebook's own, beside it."""

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
