"""The layers are what the package's map says: a module imports only what stands above it, and decisions stay pure."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import heartbeat_trio

PACKAGE = Path(__file__).parent.parent / "heartbeat_trio"

LAYERS = [
    "records",
    "events",
    "orders",
    "exceptions",
    "venue_events",
    "config",
    "policies",
    "sansio",
    "protocol",
    "dialects",
    "endpoint",
    "_alarm",
    "_chance",
    "_background",
    "_broadcast",
    "inbox",
    "transports",
    "venue",
    "posting",
    "pulse",
    "monitor",
    "connection",
    "outgoing",
    "supervisor",
    "feed",
    "gate",
    "recorder",
    "session_view",
    "session",
    "following",
    "redundant_line",
    "rotating",
    "merging",
    "redundant",
    "fleet_snapshot",
    "fleet",
    "courier",
    "balancer",
    "server",
    "observe",
    "journal",
    "analysis",
    "testing",
    "commands",
    "cli",
    "__main__",
]
"""From the bottom up. Within `sansio` and within `protocol` modules may import each other."""

IMPURE = {"trio", "time", "random", "logging", "datetime", "socket", "ssl", "os", "asyncio", "threading", "pathlib"}

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, *, at_run_time: bool) -> list[str]:
    """Absolute names of what a module imports; without those for the type checker only, if asked."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(node)
        for branch in ast.walk(tree)
        if at_run_time and isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    names: list[str] = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(absolute(path, node))
    return names


def absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    folder = ["heartbeat_trio", *path.relative_to(PACKAGE).parts[:-1]]
    base = folder[: len(folder) - node.level + 1]
    if node.module:
        return ".".join([*base, node.module])
    return ".".join([*base, node.names[0].name])


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_only_what_stands_above(path: Path) -> None:
    """A lower layer never learns of a higher one."""
    layer = layer_of(path)
    for name in imports(path, at_run_time=False):
        if name.startswith("heartbeat_trio."):
            other = name.split(".")[1]
            assert LAYERS.index(other) <= LAYERS.index(layer), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", [path for path in MODULES if layer_of(path) in ("sansio", "protocol")], ids=name_of)
def test_decisions_are_pure(path: Path) -> None:
    """No Trio, no clock, no randomness, no I/O, no logging: `now` and `rng` are arguments."""
    for name in imports(path, at_run_time=True):
        assert name.split(".")[0] not in IMPURE, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", [path for path in MODULES if layer_of(path) == "sansio"], ids=name_of)
def test_sansio_takes_nothing_from_the_protocol(path: Path) -> None:
    """Records that both need live in `events`."""
    assert not [name for name in imports(path, at_run_time=False) if name.startswith("heartbeat_trio.protocol")]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_house_rules(path: Path) -> None:
    """Small files, small functions, no unbounded buffers, one place for private names of Trio, monotonic time only."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    assert "open_memory_channel[" not in text.replace(" ", "") or "math.inf" not in text
    if path.name != "_determinism.py":
        assert "trio._" not in text
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            start = node.body[0].end_lineno if ast.get_docstring(node) else node.lineno
            assert start is not None
            assert node.end_lineno - start <= 60, f"{node.name} is too long"


def test_every_module_has_a_place() -> None:
    """A new module or folder is put into the list of layers, or this fails."""
    assert {layer_of(path) for path in MODULES} <= set(LAYERS)


def test_every_public_name_is_there() -> None:
    """What `__all__` promises can be imported."""
    assert [] == [name for name in heartbeat_trio.__all__ if not hasattr(heartbeat_trio, name)]
