"""Parts of a package."""


def part(x):
    """Return a part."""
    return ("part", x)


class Part:
    """One part."""

    def __init__(self, x=0):
        self.x = x
