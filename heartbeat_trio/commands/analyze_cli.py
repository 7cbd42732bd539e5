"""The options of ``heartbeat-trio analyze``. Options in, exit code out; nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def analyze(
    *folders: Path,
    zone: str = "UTC",
    output: Literal["text", "json"] = "text",
    html: Path | None = None,
    cache: Annotated[bool, Parameter(negative="--no-cache")] = True,
    schema: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Say what weeks of journals show: how stable each line was, what is a pattern, and what to change.

    Advice comes with its evidence, and only where chance does not explain what was seen. Clients may be writing still. What
    was read is kept in a folder .cells beside the journals, so that the next time takes seconds.

    Example: heartbeat-trio analyze ./journal --zone Europe/Berlin --html report.html

    Exit codes: 0 a report was made, or the reader of the output has gone; 1 the output cannot be written; 2 usage, there is
    nothing to read, or the page cannot be written; 130 Ctrl-C.

    Parameters
    ----------
    folders
        Where watch --journal wrote; each is one client.
    zone
        Whose days and hours are meant, such as Europe/Berlin.
    output
        For people, or one JSON document.
    html
        Write the whole report into this file as well: one page that needs no network.
    cache
        Keep what was read, and use what was kept as long as it is true.
    schema
        Print the JSON Schema of the JSON document, and do nothing else.
    """
    from .analyze import AnalyzeOptions, print_schema
    from .analyze import analyze as run

    if schema:
        return print_schema()
    return run(AnalyzeOptions(folders=folders, zone=zone, output=output, html=html, use_cache=cache))
