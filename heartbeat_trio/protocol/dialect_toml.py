"""Dialects from TOML: one table each, ``[okx-v5]``, whose keys are the fields of `dialect_record.Dialect`.

What is wrong is told with the file, the line, the field, and what would do.
"""

from __future__ import annotations

import re
import tomllib

import msgspec

from ..exceptions import ConfigError
from .dialect_record import Dialect, Fault, check_dialect
from .venue_records import venue_names

NAME = re.compile(r"[a-z0-9][a-z0-9\-]{0,39}")
BUILT_INTO_CODE = frozenset({"lines", "tutorial", "ops"})
"""Spoken by modules of their own: a file cannot replace them."""

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*([A-Za-z0-9_\-."']+)\s*=""")
_AT = re.compile(r" - at `\$(.*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_UNKNOWN = re.compile(r"unknown field `(.*)`")
_MISSING = re.compile(r"missing required field `(.*)`")


def parse_dialects(text: str, file: str, *, known: frozenset[str] = frozenset()) -> dict[str, Dialect]:
    """Read the dialects of a file.

    Args:
        text: The file's text.
        file: Its name, for messages.
        known: Names that are taken; a dialect may take one of them only if it says ``replaces_builtin = true``.

    Raises:
        ConfigError: Something is wrong; the message names file, line and field.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: {error}; a dialect is a table such as [my-venue] with TOML values") from error
    except RecursionError as error:
        raise ConfigError(f"{file}: nested too deeply") from error
    return {name: _convert(name, table, text, file, known) for name, table in tables.items()}


def _convert(name: str, table: object, text: str, file: str, known: frozenset[str]) -> Dialect:
    if not isinstance(table, dict):
        raise _error(text, file, (name,), f"is no table; a dialect is a table such as [{name}]")
    if not NAME.fullmatch(name):
        raise _error(text, file, (name,), f"the name {name!r} must be 1 to 40 of a-z 0-9 -")
    if "name" in table:
        raise _error(text, file, (name, "name"), "leave it out: the table's own name is the name")
    try:
        dialect = msgspec.convert({**table, "name": name}, Dialect)
    except msgspec.ValidationError as error:
        path, problem = _explain(str(error))
        raise _error(text, file, (name, *path), problem) from error
    fault = check_dialect(dialect) or _check_name(dialect, known)
    if fault is not None:
        raise _error(text, file, (name, *fault.path), fault.problem)
    return dialect


def _check_name(dialect: Dialect, known: frozenset[str]) -> Fault | None:
    if known and dialect.name in BUILT_INTO_CODE:
        return Fault((), f"{dialect.name} is spoken by the package itself and cannot be replaced: take another name")
    if dialect.name in known and not dialect.replaces_builtin:
        return Fault((), f"{dialect.name} comes with the package: take another name, or say replaces_builtin = true")
    if known and dialect.transport == "tcp" and dialect.speakable:  # their bytes are in modules of their own
        return Fault(("transport",), "a dialect of a file is spoken over WebSocket only: leave it out, or speakable = false")
    if known and dialect.quotes and dialect.quotes not in venue_names():  # those of the package's own are tested
        return Fault(("quotes",), f'{dialect.quotes!r} is not known: one of {", ".join(venue_names())}, or "" for none')
    return None


def _explain(message: str) -> tuple[tuple[str | int, ...], str]:
    """Where msgspec found what, as a path and in words."""
    at = _AT.search(message)
    where = "" if at is None else at[1]
    problem = message if at is None else message[: at.start()]
    path: list[str | int] = [each[1] or int(each[2]) for each in _STEP.finditer(where)]
    unknown, missing = _UNKNOWN.search(problem), _MISSING.search(problem)
    if unknown is not None:
        path.append(unknown[1])
        problem = "no such field; `heartbeat-trio dialects NAME --output json` shows all of them"
    elif missing is not None:
        path.append(missing[1])
        problem = "is missing, and has no default"
    return tuple(path), problem[0].lower() + problem[1:].replace("`", "")


def _error(text: str, file: str, path: tuple[str | int, ...], problem: str) -> ConfigError:
    field = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
    return ConfigError(f"{file}, line {find_line(text, path)}: {field}: {problem}")


def find_line(text: str, path: tuple[str | int, ...]) -> int:
    """The number of the line that sets a field, or of the nearest table or field around it; 1 if there is none."""
    best, number_of_best = 0, 1
    table: tuple[str | int, ...] = ()
    counts: dict[tuple[str | int, ...], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header, key = _HEADER.match(line), _KEY.match(line)
        if header is not None:
            table = _split(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            here = table
        elif key is not None:
            here = (*table, *_split(key[1]))
        else:
            continue
        if here == path[: len(here)] and len(here) > best:
            best, number_of_best = len(here), number
    return number_of_best


def _split(name: str) -> tuple[str | int, ...]:
    return tuple(part.strip().strip("\"'") for part in name.split("."))
