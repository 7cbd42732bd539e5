"""HTML that cannot be forgotten to be escaped: text is text until a `tag` makes it markup. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ...observe.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

VOID = frozenset({"meta", "br"})
SHAPES = frozenset({"rect", "line", "circle", "path"})


class Html(str):
    """Markup. Every other string is text."""

    __slots__ = ()


def text(value: object) -> Html:
    """Text as markup: what HTML means something by and what a screen obeys is escaped. Markup stays as it is."""
    if isinstance(value, Html):
        return value
    plain = str(value)
    return Html(escape(plain if plain.isprintable() and len(plain) < 1000 else printable(plain)))


def join(parts: Iterable[object]) -> Html:
    """One after the other."""
    return Html("".join(text(part) for part in parts))


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element. ``class_`` is class, ``data_x`` is data-x; True stands alone; None and False are left out."""
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        spelled = key.rstrip("_").replace("_", "-")
        words.append(spelled if value is True else f'{spelled}="{text(value)}"')
    opening = " ".join(words)
    if name in VOID:
        return Html(f"<{opening}>")
    if name in SHAPES and not children:
        return Html(f"<{opening}/>")
    return Html(f"<{opening}>{join(children)}</{name}>")


def number(value: float) -> str:
    """A coordinate, as short as is exact enough."""
    return f"{value:.1f}".removesuffix(".0")


def percent(value: float) -> str:
    """A coordinate as a part of the whole, 0..1."""
    return f"{100 * value:.2f}".rstrip("0").rstrip(".") + "%"
