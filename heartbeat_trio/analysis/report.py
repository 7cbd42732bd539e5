"""From folders of journals to a `Report`: reads them once, and asks each part of the analysis."""

from __future__ import annotations

import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from ..exceptions import ConfigError
from ..observe.printable import printable
from .advice import advise
from .charts import days, hour_cells, rtt_points
from .findings import Report
from .history import line_reports
from .incidents import worst_incidents
from .load import load
from .patterns import find_patterns
from .replay import not_replayed, replay
from .spans import session_times

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .load import Progress as Loaded
    from .tables import Journals

    Tell = Callable[["Progress"], None]

SEED = 1
"""Of permutations: the same journals give the same report."""


class Progress(msgspec.Struct, frozen=True):
    """What is being done, and which part of it is done (0..1; None: not known)."""

    what: str
    part: float | None = None


def analyze(
    folders: Sequence[Path | str], *, zone: str = "UTC", progress: Tell | None = None, use_cache: bool = True
) -> Report:
    """Read journals and say what they show. Takes as long as it takes: call it in a thread where Trio runs.

    Args:
        folders: Of journals, one folder being one client. They may be written to meanwhile.
        zone: Whose days and hours are meant, such as ``Europe/Berlin``.
        progress: Is called some ten times a second while files are read, and before each further step.
        use_cache: Whether what was read is kept beside the journals, and what was kept is used as long as it is true.

    Raises:
        ConfigError: The zone is not known, or there is nothing to read (see `load`).
    """
    tell = progress or _say_nothing
    place = find_zone(zone)

    def loaded(step: Loaded) -> None:
        tell(Progress("reading", step.done / step.size if step.size else None))

    journals = load([Path(each) for each in folders], progress=loaded, use_cache=use_cache)
    return _report(journals, place, tell)


def find_zone(name: str) -> ZoneInfo:
    """A time zone by its name.

    Raises:
        ConfigError: There is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(f"zone {printable(name)!r} is not known: {_remedy(name)}") from error


def _remedy(name: str) -> str:
    known = available_timezones()
    if not known:
        return "this machine has no time zones, pip install tzdata brings them"
    word = name.strip().lower().replace(" ", "_")
    near = sorted(each for each in known if word and word in each.lower())[:3]
    return f"perhaps {', '.join(near)}" if near else "name one such as UTC, Europe/Berlin or America/New_York"


def _report(journals: Journals, zone: ZoneInfo, tell: Tell) -> Report:
    tell(Progress("how stable each line was"))
    times = session_times(journals)
    overall, lines = line_reports(journals, times)
    rtt, step = rtt_points(journals)
    incidents = worst_incidents(journals, times=times)
    tell(Progress("patterns"))
    findings, not_enough = find_patterns(journals, zone=zone, seed=SEED, times=times)
    tell(Progress("other policies"))
    replays = replay(journals)
    tell(Progress("advice"))
    return Report(
        made_at=time.time(),
        version=_version(),
        zone=zone.key,
        sources=journals.sources,
        overall=overall,
        lines=lines,
        advice=advise(journals, findings, not_enough, replays, lines),
        findings=findings,
        not_enough=not_enough,
        incidents=incidents,
        replays=replays,
        days=days(journals, zone, times),
        rtt=rtt,
        rtt_step=step,
        hours=hour_cells(journals, zone),
        notes=not_replayed(journals),
    )


def _version() -> str:
    try:
        return metadata.version("heartbeat-trio")
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"


def _say_nothing(_progress: Progress) -> None:
    """Nobody asked."""
