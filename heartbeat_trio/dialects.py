"""The dialects that come with the package, read once and when first asked for, and a user's own from a file."""

from __future__ import annotations

from codecs import BOM_UTF8
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from .exceptions import ConfigError
from .protocol.dialect_record import Dialect
from .protocol.dialect_toml import BUILT_INTO_CODE, parse_dialects

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FILE = 2**20
"""Bytes of a file of dialects."""

BUILTIN = "dialects.toml"


@lru_cache(maxsize=1)
def builtin_dialects() -> Mapping[str, Dialect]:
    """The dialects that come with the package, by name."""
    text = (files(__package__) / "protocol" / BUILTIN).read_text(encoding="utf-8")
    return MappingProxyType(parse_dialects(text, BUILTIN))


def load_dialects(path: str | Path) -> Mapping[str, Dialect]:
    """The package's dialects and those of a file, by name.

    Give the result to `Endpoint.parse`.

    Args:
        path: A TOML file, one table for each dialect; ``heartbeat-trio dialects NAME --output json`` shows the fields.

    Raises:
        ConfigError: The file cannot be read, or something in it is wrong; the message names file, line and field.
    """
    builtin = builtin_dialects()
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE + 1).removeprefix(BOM_UTF8)  # some editors begin with it
        text = data.decode()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}; give a TOML file of dialects") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: not UTF-8; a file of dialects is TOML in UTF-8") from error
    if len(data) > MAX_FILE:
        raise ConfigError(f"{path}: too large; a file of dialects has at most {MAX_FILE} bytes")
    return MappingProxyType({**builtin, **parse_dialects(text, str(path), known=frozenset(builtin))})


def find_dialect(name: str, dialects: Mapping[str, Dialect] | None = None) -> Dialect | None:
    """The record of a dialect that is spoken over WebSocket by a venue; None for `ops`, `lines` and `tutorial`.

    Raises:
        ConfigError: There is none of that name, or none that can be spoken; the message lists those that can.
    """
    if name in BUILT_INTO_CODE:
        return None
    dialects = builtin_dialects() if dialects is None else dialects
    dialect = dialects.get(name)
    if dialect is None or not dialect.speakable:
        what = "is not known" if dialect is None else "is here for reference only and cannot be spoken"
        raise ConfigError(f"dialect {name!r} {what}; choose one of {', '.join(speakable_dialects(dialects))}")
    return dialect


def speakable_dialects(dialects: Mapping[str, Dialect], transport: str = "websocket") -> list[str]:
    """The names of the dialects that can be spoken over a transport."""
    return [name for name, each in dialects.items() if each.speakable and each.transport == transport]


def known_host(host: str, path: str, dialects: Mapping[str, Dialect]) -> str | None:
    """The dialect of a well-known host, the one with the longest matching path; None: the host is not known.

    Of several that name the same host the last one counts, so that a user's own dialect comes before the package's.
    """
    where = f"{host.lower()}{path.partition('?')[0].rstrip('/')}/"
    matches = [
        (len(known.rstrip("/")), position, name)
        for position, (name, each) in enumerate(dialects.items())
        for known in each.hosts
        if each.speakable and where.startswith(f"{known.rstrip('/')}/")
    ]
    return max(matches)[-1] if matches else None
