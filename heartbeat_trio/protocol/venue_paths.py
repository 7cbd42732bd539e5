"""Where something stands in a message, and what a message looks like: paths and patterns, compiled once. Pure.

A **path** is steps with dots between them, through objects (names) and arrays (numbers; negative ones count from the end):
``data.0.px``. It begins at the item that is being read; ``^arg.instId`` begins at the whole message, and ``@symbol`` and
``@channel`` are what the venue announced for the channel's id. ``a|b`` is the first of several that is there. The empty
path is the item itself. A step through null, and into an empty array, gives None; one that leads nowhere gives `MISSING`.

**Items** are a path in which ``[]`` means each element of an array (or the one object that stands there instead):
``events[].trades[]``.

A **pattern** is a literal text, with at most one ``*`` for any characters, or one of ``<array> <object> <number> <text>``,
``*`` (anything at all) and ``!`` (nothing stands there); ``a|b`` is any of several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from .venue_values import MISSING, Json

MAX_ITEMS = 4096
"""Quotes of one message that are read. The largest that is documented is 1024 trades."""


class Channel(NamedTuple):
    """What a venue announced for a channel's id."""

    channel: str
    symbol: str


Getter = Callable[[Json, Json, Channel | None], Json]
"""Gives what a path leads to, from the whole message, the item and the announced channel."""

Test = Callable[[Json, Json, Channel | None], bool]


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


_TYPES: dict[str, Callable[[Json], bool]] = {
    "*": lambda value: value is not MISSING,
    "!": lambda value: value is MISSING,
    "<array>": lambda value: type(value) is list,
    "<object>": lambda value: type(value) is dict,
    "<number>": _is_number,
    "<text>": lambda value: type(value) is str,
}


def walk(value: Json, steps: tuple[str | int, ...]) -> Json:
    """Follow the steps of a path."""
    for step in steps:
        if type(value) is dict:
            value = value.get(step, MISSING)
        elif type(value) is list and type(step) is int:
            value = value[step] if -len(value) <= step < len(value) else (MISSING if value else None)
        else:
            return None if value is None else MISSING
    return value


def parse_steps(path: str) -> tuple[str | int, ...]:
    """The steps of a path; raises `ValueError` for an empty one between dots."""
    if not path:
        return ()
    steps = path.split(".")
    if not all(steps):
        raise ValueError(f"path {path!r} has an empty step: write names and numbers with single dots between them")
    return tuple(int(step) if step.lstrip("-").isdigit() else step for step in steps)


def compile_path(path: str) -> Getter:
    """Make a getter of a path; raises `ValueError` if it cannot be one."""
    options = [_compile_one(each) for each in path.split("|")]
    if len(options) == 1:
        return options[0]

    def first(frame: Json, item: Json, channel: Channel | None) -> Json:
        found: Json = MISSING
        for option in options:
            found = option(frame, item, channel)
            if found is not MISSING:
                break
        return found

    return first


def _compile_one(path: str) -> Getter:
    if path.startswith("@"):
        return _compile_announced(path)
    if path.startswith("^"):
        steps = parse_steps(path[1:])
        return lambda frame, _item, _channel: walk(frame, steps)
    steps = parse_steps(path)
    name = name_of(path)
    if name is not None:  # most of them: without the loop
        return lambda _frame, item, _channel: (
            item.get(name, MISSING) if type(item) is dict else None if item is None else MISSING
        )
    return lambda _frame, item, _channel: walk(item, steps)


def _compile_announced(path: str) -> Getter:
    if path == "@symbol":
        return lambda _frame, _item, channel: MISSING if channel is None else channel.symbol
    if path == "@channel":
        return lambda _frame, _item, channel: MISSING if channel is None else channel.channel
    raise ValueError(f"path {path!r} must be @symbol or @channel")


def compile_items(path: str) -> Callable[[Json], list[Json]]:
    """Make a function that gives a message's items, at most `MAX_ITEMS`; [] where there are none."""
    *parts, rest = path.split("[]")
    if not parts:
        steps = parse_steps(path)
        return (lambda body: [walk(body, steps)]) if steps else (lambda body: [body])
    if rest:
        raise ValueError(f"items {path!r} must end in [], or have none at all")
    levels = [parse_steps(part.removeprefix(".")) for part in parts]

    def expand(body: Json) -> list[Json]:
        items = [body]
        for steps in levels:
            items = _expand(items, steps)
        return items

    return expand


def _expand(items: list[Json], steps: tuple[str | int, ...]) -> list[Json]:
    found: list[Json] = []
    for item in items:
        value = walk(item, steps)
        if type(value) is list:
            found += value[: MAX_ITEMS - len(found)]
        elif type(value) is dict and len(found) < MAX_ITEMS:
            found.append(value)
    return found


def compile_match(match: Mapping[str, str]) -> Test:
    """Make a test of patterns by path, all of which must hold; raises `ValueError` if a path or a pattern is none."""
    tests = [(compile_path(path), compile_pattern(pattern)) for path, pattern in match.items()]
    names = [name_of(path) for path in match]
    if None not in names:
        return _compile_names([(name, fits) for name, (_, fits) in zip(names, tests, strict=True)])

    def holds(frame: Json, item: Json, channel: Channel | None) -> bool:
        for get, fits in tests:  # noqa: SIM110 - a generator costs more than what it runs
            if not fits(get(frame, item, channel)):
                return False
        return True

    return holds


def _compile_names(tests: list[tuple[str | None, Callable[[Json], bool]]]) -> Test:
    """The same where all paths are names of the item's own fields, as most are."""

    def holds(_frame: Json, item: Json, _channel: Channel | None) -> bool:
        fields = item if type(item) is dict else _NO_FIELDS
        for name, fits in tests:  # noqa: SIM110 - as above
            if not fits(fields.get(name, MISSING)):
                return False
        return True

    return holds


_NO_FIELDS: dict[str | None, Json] = {}


def name_of(path: str) -> str | None:
    """The name, if a path is nothing but one."""
    steps = parse_steps(path) if path[:1] not in "^@" and "|" not in path else ()
    return steps[0] if len(steps) == 1 and type(steps[0]) is str else None


def compile_pattern(pattern: str) -> Callable[[Json], bool]:
    """Make a test of a pattern; raises `ValueError` if it is none."""
    options = pattern.split("|")
    literals = literals_of(pattern)
    if len(literals) == len(options):
        return lambda value: type(value) is str and value in literals
    tests = [_compile_option(each) for each in options]
    if len(tests) == 1:
        return tests[0]
    return lambda value: any(test(value) for test in tests)


def literals_of(pattern: str) -> frozenset[str]:
    """The options of a pattern that are literal texts."""
    return frozenset(each for each in pattern.split("|") if each not in _TYPES and "*" not in each)


def _compile_option(option: str) -> Callable[[Json], bool]:
    if option in _TYPES:
        return _TYPES[option]
    before, star, after = option.partition("*")
    if "*" in after:
        raise ValueError(f"pattern {option!r} has more than one *")
    if not star:
        return lambda value: type(value) is str and value == option
    shortest = len(before) + len(after)
    return lambda value: type(value) is str and len(value) >= shortest and value.startswith(before) and value.endswith(after)
