"""Messages as a venue that breaks its own rules would write them, for simulators.

A spoiled template is a template again: with another case, with numbers as strings, or with placeholders that stand for a
wrong id (``$wrong_id``) or for the right id in the wrong type (``$retyped_id``); `spoiled_ids` has their tokens.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from .dialect_template import JSON_STARTS, bind
from .wire import BAD_INPUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .dialect_record import Dialect

Spoil = Literal["id", "case", "type"]
"""A wrong id in a pong; the wrong case of a literal; a number as a string, or an id that is a string as a number."""

SPOILS: tuple[Spoil, ...] = get_args(Spoil)

_TOKEN = re.compile(r'(?P<string>"(?:[^"\\]|\\.)*")(?P<colon>\s*:)?|\$(?P<name>[a-z0-9_]+)|(?P<number>-?\d[\d.eE+-]*)')
_WORD = re.compile(r"\$[a-z0-9_]+|\\u[0-9a-fA-F]{4}|\\.|[^$\\]+")
_ID = re.compile(r"\$id\b")


def spoil_text(text: str, kind: Spoil) -> str:
    """A template with this mistake; the same one where it is not possible."""
    match kind:
        case "id":
            return _ID.sub("$wrong_id", text)
        case "case":
            return _swap_case(text)
        case _:
            return _TOKEN.sub(_retype, text) if text.startswith(JSON_STARTS) else text


def spoiled_ids(token: bytes) -> dict[str, bytes]:
    """What the placeholders of spoiled templates stand for, given the token of the right id."""
    value = msgspec.json.decode(token)
    if isinstance(value, str):
        wrong = "0" * len(value) if value.strip("0") else "1" * (len(value) or 1)
        return {"wrong_id": b'"%s"' % wrong.encode(), "retyped_id": b"%d" % int(value) if _is_number(value) else b"0"}
    return {"wrong_id": b"%d" % (value ^ 0xFFFF_FFFF) if type(value) is int else b"0", "retyped_id": b'"%s"' % token}


def spoil_payload(payload: bytes) -> bytes:
    """Another payload for a control pong, as long as the ping's (of one byte where that has none)."""
    return bytes(0xFF - byte for byte in payload) or b"0"


def possible_spoils(dialect: Dialect, parameters: Mapping[str, bytes], *, pong: int = 0) -> tuple[Spoil, ...]:
    """The mistakes that a venue can make in its pongs, pings and beats.

    Args:
        dialect: The venue's.
        parameters: JSON tokens of what its templates are bound to.
        pong: Which of the dialect's pongs it sends.
    """
    probe = dialect.probe
    has_control = dialect.pingable if probe is None else probe.level == "control"
    pongs = [] if probe is None or probe.level == "control" else [probe.pongs[pong]]
    asked = [ping.ping for ping in dialect.server_pings] + [beat.message for beat in dialect.beats if beat.period]
    written = [bind(each, parameters) for each in (*pongs, *asked)]
    return tuple(
        kind for kind in SPOILS if (kind == "id" and has_control) or any(spoil_text(each, kind) != each for each in written)
    )


def _swap_case(text: str) -> str:
    """Of the literal strings; of the names of fields where there are none."""
    if not text.startswith(JSON_STARTS):
        return _swap_words(text)
    for is_field in (False, True):
        swapped = _TOKEN.sub(lambda match: _swap_string(match, is_field=is_field), text)  # noqa: B023 - called at once
        if swapped != text:
            return swapped
    return text


def _swap_string(match: re.Match[str], *, is_field: bool) -> str:
    is_ours = match["string"] is not None and (match["colon"] is not None) is is_field
    return _swap_words(match[0]) if is_ours else match[0]


def _swap_words(text: str) -> str:
    """Placeholders and escapes stay as they are."""
    return _WORD.sub(lambda match: match[0] if match[0][0] in "$\\" else match[0].swapcase(), text)


def _retype(match: re.Match[str]) -> str:
    if match["number"] is not None:
        return f'"{match[0]}"'
    return "$retyped_id" if match["name"] == "id" else match[0]


def _is_number(text: str) -> bool:
    try:
        return type(msgspec.json.decode(text)) is int
    except BAD_INPUT:
        return False
