"""A report as one JSON document, and its JSON Schema.

The document is a `findings.Report`, field by field, with its durations in seconds and its shares as fractions. Fields named
``..._at``, and ``at`` of an incident's moments, are ISO 8601 in UTC with microseconds: ``2026-11-24T20:36:21.000000Z``. What
is not known is null; there is no NaN and no infinity. ``schema`` rises when a field changes its meaning or goes; new fields
may come at any time, so that readers should ignore what they do not know. ``line`` and ``others`` are places in ``lines``.

`schema` is what ``heartbeat-trio analyze --schema`` prints.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias, cast

import msgspec

from ..observe.jsonlines import timestamp
from .findings import Report

JSON: TypeAlias = Any
"""What JSON can hold, or what stands for it before its times are written."""
TIME = "date-time"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def to_json(report: Report) -> str:
    """A report as a JSON document in one line."""
    line: bytes = msgspec.json.encode(_written("", msgspec.to_builtins(report, enc_hook=_plain)))
    return line.decode()


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the document, made of the very records."""
    made = _described()
    for record in made["$defs"].values():
        properties = record.get("properties", {})
        for name in properties:
            if is_time(name):
                properties[name] = _times(properties[name])
    whole = {"$schema": DIALECT, "title": "heartbeat-trio analyze --output json", **made}
    return msgspec.json.decode(msgspec.json.encode(whole), type=dict[str, Any])


def _described() -> dict[str, Any]:
    (reference,), records = msgspec.json.schema_components((Report,), schema_hook=_anything, ref_template="#/$defs/{name}")
    return {**reference, "$defs": records}


def _anything(kind: type) -> dict[str, Any]:
    """`Finding.details` hold what their kind says: no more is promised."""
    if kind is object:
        return {"description": "Whatever `kind` says."}
    raise TypeError(f"{kind} has no place in a report")


def is_time(name: str) -> bool:
    """Whether a field's name says that it is a time."""
    return name == "at" or name.endswith("_at")


def _times(described: dict[str, Any]) -> dict[str, Any]:
    if described.get("type") == "number":
        return {**described, "type": "string", "format": TIME}
    if "anyOf" in described:
        return {**described, "anyOf": [_times(each) for each in described["anyOf"]]}
    return described


def _plain(value: object) -> object:
    """What numpy calls a number, as Python does."""
    if hasattr(value, "item"):
        return cast("Any", value).item()
    raise TypeError(f"{type(value)} has no place in a report")


def _written(name: str, value: JSON) -> JSON:
    """What JSON can hold, and times as text; ``name`` is that of the field."""
    if isinstance(value, dict):
        return {key: _written(key, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_written(name, each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if is_time(name) and isinstance(value, int | float):
        return timestamp(value)
    return value
