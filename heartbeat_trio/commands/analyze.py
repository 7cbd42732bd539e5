"""``heartbeat-trio analyze``: weeks of journals as a report in the terminal, as JSON, or as a page."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..exceptions import ConfigError
from ..journal.records import SUFFIX
from ..observe.printable import printable
from .common import discard_stdout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..analysis.report import Progress

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""What libraries of linear algebra read when they are loaded: in how many threads to work."""
MODE = 0o644
"""Of a page: whoever may read the folder may read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeOptions:
    """What `analyze` needs to know."""

    folders: tuple[Path, ...]
    zone: str = "UTC"
    output: Literal["text", "json"] = "text"
    html: Path | None = None
    use_cache: bool = True


def analyze(options: AnalyzeOptions) -> int:
    """Make a report and show it; the exit code.

    Raises:
        ConfigError: There is nothing to read, the zone is not known, the page cannot be written, or the extra is missing.
    """
    if not options.folders:
        raise ConfigError("name at least one folder of journals, such as ./journal; watch --journal writes one")
    if options.html is not None:
        _check_place(options.html)
        _spare_journals(options.html)
    _use_one_thread()
    from ..analysis.page import render_page
    from ..analysis.report import analyze as run

    with _shown_progress() as progress:
        report = run(options.folders, zone=options.zone, progress=progress, use_cache=options.use_cache)
    if options.html is not None:
        _write(options.html, render_page(report))
    if options.output == "json":
        from ..analysis.jsonform import to_json

        _print(to_json(report) + "\n")
    else:
        from ..analysis.text import render_text

        page = "" if options.html is None else f"\nthe whole report: {printable(str(options.html))}\n"
        _print(render_text(report, file=sys.stdout) + page)
    return 0


def print_schema() -> int:
    """Print what `--output json` promises; the exit code.

    Raises:
        ConfigError: The extra is missing.
    """
    from ..analysis.jsonform import schema

    _print(json.dumps(schema(), indent=2) + "\n")
    return 0


def _use_one_thread() -> None:
    """Our matrices are small: threads for them wait for each other only, for long where others use the machine too."""
    for name in THREADS:
        os.environ.setdefault(name, "1")


def _print(text: str) -> None:
    """All at once; whoever reads may have seen enough, `head` for one."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()


def _check_place(path: Path) -> None:
    """Tell at once, and not after minutes of reading, that there is no place for the page."""
    if path.exists() and not path.is_dir() and not path.is_file():
        return  # a pipe
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError(f"--html {printable(str(path))!r} must be a file in a folder that can be written to")


def _spare_journals(path: Path) -> None:
    """A page under the name of a journal would replace what nobody can write again."""
    if any(name.endswith((SUFFIX, SUFFIX + ".gz")) for name in (path.name, path.resolve().name)):
        raise ConfigError(f"--html {printable(str(path))!r} is the name of a journal; name a page, such as report.html")


def _write(path: Path, page: str) -> None:
    """Whole or not at all: a page that was there stays until the new one is complete. A pipe takes it as it comes."""
    try:
        if path.exists() and not path.is_file():
            path.write_text(page, encoding="utf-8")
            return
        path = path.resolve()
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor is no path
                file.write(page)
            Path(name).chmod(MODE)
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(f"--html {printable(str(path))!r} cannot be written: {why}") from error


@contextmanager
def _shown_progress() -> Iterator[Callable[[Progress], None] | None]:
    """A bar on standard error while it takes long, which leaves nothing behind; none where nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def show(progress: Progress) -> None:
            known = progress.part is not None
            bar.update(task, description=progress.what, total=1 if known else None, completed=progress.part or 0)

        yield show
