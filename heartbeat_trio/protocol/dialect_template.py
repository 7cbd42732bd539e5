"""Messages as texts with ``$placeholders``: one text says both how a message is written and how it is recognised.

``{"op":"ping","req_id":$id}`` is written with an id, and recognises every JSON object that has these fields (it may have
others), capturing the id. A placeholder outside a JSON string stands for one whole JSON token, within a string for a piece
of its text. Literals are compared with their type: ``1`` is neither ``true`` nor ``1.0`` nor ``"1"``. A text that is no JSON
object, array or string is a bare token (``ping``), compared byte for byte.

``$any`` is anything. Every other placeholder captures a scalar. ``[$items]`` is an array of what the item template writes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import Raw

from .wire import BAD_INPUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Path = tuple[str | int, ...]

PLACEHOLDER = re.compile(r"\$([a-z][a-z0-9]*(?:_[a-z0-9]+)*)")
JSON_STARTS = ("{", "[", '"')
MARK = "\0"
"""Stands before the name of a placeholder that is a whole token, while a template is read. No JSON text holds it raw."""

MAX_CAPTURE = 256
"""Bytes of a captured token. It is echoed, so it must not fill the buffer of what we send."""

_MISSING: Any = object()
_SCALARS = (str, int, float, bool, type(None))
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


class _Check(NamedTuple):
    """One condition on what stands at a path: it equals, matches, is captured, or merely has a type."""

    path: Path
    equals: Any = _MISSING
    pattern: re.Pattern[str] | None = None
    capture: str | None = None
    kind: type | None = None


class Template:
    """One kind of message.

    Args:
        text: The message with placeholders.
        item: What each element of ``[$items]`` looks like.

    Raises:
        ValueError: It looks like JSON and is none.
    """

    def __init__(self, text: str, item: str = "") -> None:
        self.text = text
        self.is_bare = not text.startswith(JSON_STARTS)
        self.names = frozenset(PLACEHOLDER.findall(text))
        """The placeholders, without ``$``."""
        self.keys: frozenset[str] = frozenset()
        """Fields that an object must have to match."""
        self._item = Template(item) if item else None
        self._pieces = _split(text)
        self._paths: dict[str, Path] = {}
        self._checks: list[_Check] = []
        if self.is_bare:
            self._checks.append(_Check((), pattern=_as_regex(text)) if self.names else _Check((), equals=text))
        else:
            pattern = _parse(self._pieces)
            self.keys = frozenset(pattern) if isinstance(pattern, dict) else frozenset()
            self._compile((), pattern)
        # What can be told apart at once comes first, the longest texts above all: "2.0" stands in every message.
        literals = [check for check in self._checks if check.equals is not _MISSING]
        self._literals = [(check.path, check.equals) for check in sorted(literals, key=lambda each: -len(str(each.equals)))]
        self._checks = [check for check in self._checks if check.equals is _MISSING]

    def __repr__(self) -> str:
        return f"Template({self.text!r})"

    def render(self, values: Mapping[str, bytes], items: Sequence[Mapping[str, bytes]] = ()) -> bytes:
        """Write the message.

        Args:
            values: A JSON token for each placeholder; within a string a token's text stands without its quotes.
            items: The same for each element of ``[$items]``.
        """
        written: list[bytes] = []
        for piece in self._pieces:
            if piece.name is None:
                written.append(piece.text)
            elif piece.name == "items" and self._item is not None:
                written.append(b",".join(self._item.render({**values, **each}) for each in items))
            else:
                token = values[piece.name]
                is_quoted = piece.is_inside and token.startswith(b'"')
                written.append(token[1:-1] if is_quoted else token)
        return b"".join(written)

    def match(self, message: object) -> dict[str, Any] | None:
        """What the placeholders stand for in a message, None if it is another message.

        A message is decoded JSON, or, for a bare text, that text. ``items`` is a list with the captures of each element.
        """
        for path, expected in self._literals:
            found = _find(message, path)
            if found != expected or type(found) is not type(expected):
                return None
        captured: dict[str, Any] = {}
        for check in self._checks:
            found = _find(message, check.path)
            if found is _MISSING or not self._take(check, found, captured):
                return None
        return captured

    def raw(self, data: bytes, name: str) -> bytes:
        """The JSON token that stands for a placeholder in a message that matched, exactly as it came.

        Raises:
            ValueError: It is too long to be echoed.
        """
        if self.is_bare:
            return msgspec.json.encode((self.match(data.decode()) or {})[name])
        token = bytes(_raw_at(Raw(data), self._paths[name]))
        if len(token) > MAX_CAPTURE:
            raise ValueError(f"a value to be echoed has at most {MAX_CAPTURE} bytes")
        return token

    @property
    def captures(self) -> tuple[str, ...]:
        """The placeholders whose tokens `raw` gives."""
        return tuple(sorted(self.names - {"any"})) if self.is_bare else tuple(self._paths)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _take(self, check: _Check, found: Any, captured: dict[str, Any]) -> bool:  # noqa: ANN401 - any JSON value
        """Test what is no literal, and keep what it captures."""
        if check.pattern is not None:
            match = check.pattern.fullmatch(found) if type(found) is str else None
            captured.update({} if match is None else match.groupdict())
            return match is not None
        if check.kind is not None:
            return type(found) is check.kind
        if check.capture == "items":
            return self._take_items(found, captured)
        if check.capture is not None:
            captured[check.capture] = found
            # An id of an impossible type is a wrong id, not another message: it must not pass for one without an id.
            return check.capture == "id" or isinstance(found, _SCALARS)
        return True

    def _take_items(self, found: object, captured: dict[str, Any]) -> bool:
        if type(found) is not list or self._item is None:
            return False
        taken = [self._item.match(each) for each in found]
        captured["items"] = taken
        return bool(taken) and None not in taken

    def _compile(self, path: Path, pattern: object) -> None:
        for check in _checks_of(path, pattern):
            self._checks.append(check)
            if check.capture not in (None, "items"):
                self._paths[str(check.capture)] = check.path


class _Piece(NamedTuple):
    """A part of a template's text: literal, or a placeholder, inside a JSON string or not."""

    text: bytes
    name: str | None = None
    is_inside: bool = False


def _split(text: str) -> list[_Piece]:
    is_json = text.startswith(JSON_STARTS)
    strings = [match.span() for match in _STRING.finditer(text)] if is_json else [(-1, len(text))]
    pieces: list[_Piece] = []
    position = 0
    for match in PLACEHOLDER.finditer(text):
        is_inside = any(begin < match.start() < end for begin, end in strings)
        pieces.append(_Piece(text[position : match.start()].encode()))
        pieces.append(_Piece(match[0].encode(), match[1], is_inside))
        position = match.end()
    pieces.append(_Piece(text[position:].encode()))
    return pieces


def _parse(pieces: Sequence[_Piece]) -> object:
    """A template as decoded JSON, its whole-token placeholders as marked strings."""
    text = b"".join(
        piece.text if piece.name is None or piece.is_inside else b'"\\u0000%s"' % piece.name.encode() for piece in pieces
    )
    return msgspec.json.decode(text)


def _checks_of(path: Path, pattern: object) -> list[_Check]:
    """The conditions that a piece of a pattern makes."""
    if pattern == [MARK + "items"]:
        return [_Check(path, capture="items")]
    if isinstance(pattern, dict | list) and not pattern:
        return [_Check(path, kind=type(pattern))]
    if isinstance(pattern, dict):
        return [check for key, value in pattern.items() for check in _checks_of((*path, key), value)]
    if isinstance(pattern, list):
        return [check for index, value in enumerate(pattern) for check in _checks_of((*path, index), value)]
    if isinstance(pattern, str) and pattern.startswith(MARK):
        return [_Check(path, capture=None if pattern == MARK + "any" else pattern.removeprefix(MARK))]
    if isinstance(pattern, str) and PLACEHOLDER.search(pattern):
        return [_Check(path, pattern=_as_regex(pattern))]
    return [_Check(path, equals=pattern)]


def _as_regex(text: str) -> re.Pattern[str]:
    parts = PLACEHOLDER.split(text)
    for index, part in enumerate(parts):
        is_name = index % 2
        parts[index] = (".*" if part == "any" else f"(?P<{part}>.{{1,64}}?)") if is_name else re.escape(part)
    return re.compile("".join(parts), re.DOTALL)


def _find(message: Any, path: Path) -> Any:  # noqa: ANN401 - any JSON value
    for step in path:
        if isinstance(step, str):
            message = message.get(step, _MISSING) if type(message) is dict else _MISSING
        else:
            message = message[step] if type(message) is list and len(message) > step else _MISSING
    return message


def _raw_at(raw: Raw, path: Path) -> Raw:
    for step in path:
        if isinstance(step, str):
            raw = msgspec.json.decode(raw, type=dict[str, Raw])[step]
        else:
            raw = msgspec.json.decode(raw, type=list[Raw])[step]
    return raw


def bind(text: str, values: Mapping[str, bytes]) -> str:
    """Put values that are known beforehand into a text, and leave its other placeholders."""
    written = b""
    for piece in _split(text):
        token = piece.text if piece.name is None else values.get(piece.name, piece.text)
        written += token[1:-1] if piece.is_inside and token.startswith(b'"') else token
    return written.decode()


@lru_cache(maxsize=1024)
def template(text: str, item: str = "") -> Template:
    """The template of a text; texts come from dialects, which are few."""
    return Template(text, item)


def explain_template(text: str, item: str = "") -> str | None:
    """What is wrong with a text as a template, as "is no JSON: ..."; None: nothing."""
    try:
        template(text, item)
    except re.error:  # all else in its patterns is escaped
        return "has a placeholder twice: it can stand for one thing only"
    except BAD_INPUT as error:
        return f"is no JSON: {error}"
    return None
