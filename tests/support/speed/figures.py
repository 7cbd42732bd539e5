"""What the speed benchmark measures, and how it is told: medians with their spread, ratios first, in markdown or JSON."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

LIBRARIES = ("trio", "trio-websocket", "wsproto", "msgspec", "websockets", "picows", "aiofastnet", "aiohttp")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.values)

    def text(self, digits: int = 2) -> str:
        """``1.23 (1.20..1.31)``."""
        if len(self.values) == 1:
            return f"{self.median:.{digits}f}"
        return f"{self.median:.{digits}f} ({min(self.values):.{digits}f}..{max(self.values):.{digits}f})"

    def json(self) -> dict[str, Any]:
        """The same for programs."""
        return {"median": self.median, "min": min(self.values), "max": max(self.values), "values": list(self.values)}


Cell = Spread | float | str


@dataclass
class Table:
    """One part's results.

    Args:
        name: The part's.
        title: What was measured, in which unit.
        columns: The first is of what, the others of `Spread`s, numbers or words.
        rows: As many cells as columns.
        digits: Decimals of each column but the first.
        note: What a reader must know.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, *tuple[Cell, ...]]] = field(default_factory=list)
    digits: int = 2
    note: str = ""

    def markdown(self) -> str:
        """The table."""
        lines = [f"### {self.title}", "", f"| {' | '.join(self.columns)} |", "| --- |" + " ---: |" * (len(self.columns) - 1)]
        lines += [f"| {' | '.join([name, *(self._text(cell) for cell in cells)])} |" for name, *cells in self.rows]
        return "\n".join([*lines, "", self.note, ""] if self.note else [*lines, ""])

    def json(self) -> dict[str, Any]:
        """The same for programs."""
        rows = [
            dict(
                zip(
                    self.columns, (name, *(cell.json() if isinstance(cell, Spread) else cell for cell in cells)), strict=True
                )
            )
            for name, *cells in self.rows
        ]
        return {"name": self.name, "title": self.title, "rows": rows, "note": self.note}

    def _text(self, cell: Cell) -> str:
        if isinstance(cell, Spread):
            return cell.text(self.digits)
        return cell if isinstance(cell, str) else f"{cell:.{self.digits}f}"


def ratio(ours: Cell | None, theirs: Cell | None) -> Cell:
    """How many times our figure theirs is, by the medians; "" where there is nothing to compare."""
    if not (isinstance(ours, Spread) and isinstance(theirs, Spread)) or ours.median == 0:
        return ""
    return theirs.median / ours.median


def machine() -> dict[str, Any]:
    """Date, machine and versions."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "load": os.getloadavg()[0],
    }


def describe(facts: dict[str, Any]) -> str:
    """The same in two lines."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["libraries"].items())
    where = f"{facts['cores']} cores of {facts['cpu']}, {facts['system']}, load {facts['load']:.1f}"
    return f"{facts['date']}; {where}.\nPython {facts['python']}; {versions}."


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
