"""As much of JSON Schema as the report's own schema uses: whether a document is as it says."""

from __future__ import annotations

from datetime import datetime
from typing import Any

TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
KNOWN = {"$schema", "$ref", "$defs", "title", "description", "default", "type", "properties", "required", "items", "anyOf"}
KNOWN |= {"enum", "format", "additionalProperties", "prefixItems", "minItems", "maxItems"}


def complaints(schema: dict[str, Any], value: object, root: dict[str, Any] | None = None, where: str = "$") -> list[str]:
    """What is wrong with a document, empty where nothing is. A keyword that is not known here is wrong, too."""
    root = schema if root is None else root
    found = [f"{where}: keyword {word} is not known" for word in set(schema) - KNOWN]
    if "$ref" in schema:
        found += complaints(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, root, where)
    if "anyOf" in schema and all(complaints(each, value, root, where) for each in schema["anyOf"]):
        found.append(f"{where}: {value!r} is none of what it may be")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is none of {schema['enum']}")
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return [*found, f"{where}: {value!r} is no {kind}"]
    if schema.get("format") == "date-time" and (not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is None):
        found.append(f"{where}: {value!r} is no time")
    return found + _inside(schema, value, root, where)


def _inside(schema: dict[str, Any], value: object, root: dict[str, Any], where: str) -> list[str]:
    found: list[str] = []
    if isinstance(value, dict):
        found += [f"{where}: {name} is missing" for name in schema.get("required", ()) if name not in value]
        described = schema.get("properties", {})
        if described:
            found += [f"{where}: {name} is not described" for name in value if name not in described]
        for name, each in value.items():
            found += complaints(described.get(name, {}), each, root, f"{where}.{name}")
    if isinstance(value, list) and "items" in schema and isinstance(schema["items"], dict):
        for n, each in enumerate(value):
            found += complaints(schema["items"], each, root, f"{where}[{n}]")
    return found
