"""What came from elsewhere, made fit for a screen. Pure."""

from __future__ import annotations

MAX_LENGTH = 2000
"""Characters of a line; a hostile peer must not fill the screen."""


def printable(text: str) -> str:
    """Escape control characters, and cut what is too long."""
    text = text if len(text) <= MAX_LENGTH else text[:MAX_LENGTH] + "..."
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
