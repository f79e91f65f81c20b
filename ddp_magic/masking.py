"""What looks like a secret, and what is shown instead; imported by every process."""

from __future__ import annotations

import re

__all__ = ["MASK", "looks_secret", "mask_line"]

MASK = "***"
_SECRET = re.compile(r"key|token|secret|passw|cred", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"""([\w.-]+)(\s*=\s*)('[^']*'?|"[^"]*"?|[^\s'"]+)""")
_PLAIN = re.compile(r"[-+]?[\d_.]+(e[-+]?\d+)?|true|false|none|\{.*|\$\w+", re.IGNORECASE)


def looks_secret(name: str) -> bool:
    """Whether a value of this name must not be shown: keys, tokens, passwords, credentials."""
    return _SECRET.search(name) is not None


def mask_line(line: str) -> str:
    """Mask the values of secret-looking ``name=value`` in a line; numbers stay as they are."""

    def masked(match: re.Match[str]) -> str:
        name, equals, value = match.groups()
        if _PLAIN.fullmatch(value) or not looks_secret(name):
            return match[0]
        return f"{name}{equals}{MASK}"

    return _ASSIGNMENT.sub(masked, line)
