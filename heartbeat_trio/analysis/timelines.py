"""What happened around an incident, in a few sentences: before, during and after."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Literal, NamedTuple

from .findings import Moment
from .losses import cause_of
from .sentences import sentence
from .wording import seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .spans import SessionTime
    from .tables import Happening

BEFORE, AFTER = 60.0, 30.0
"""Seconds that are told before and after."""

Phase = Literal["before", "during", "after"]
LIMITS: dict[Phase, tuple[int, int]] = {"before": (0, 4), "during": (5, 3), "after": (3, 0)}
"""Moments that are told first and last of each phase; what is left out between them is counted, but for ..."""

WEIGHTY = frozenset({"lost", "connected", "gave_up"})
"""... these, at most ..."""

MOST_WEIGHTY = 4
"""... so many of a phase."""

SILENT = frozenset({"connecting", "retry_scheduled", "throttled", "session", "journal"})
"""What belongs to an attempt to connect and says nothing by itself, and what did not happen but was noted."""

TURNS = frozenset({"connecting", "connected", "lost", "closed", "gave_up"})

COUNTED = "attempts"


class _Told(NamedTuple):
    t: float
    key: str
    text: str
    is_weighty: bool = False


def timeline(time: SessionTime, begun: float, ended: float, *, is_silent: bool = False) -> tuple[Moment, ...]:
    """The moments of one session around an incident.

    Args:
        time: The session.
        begun: When the incident began, by the program's clock.
        ended: When it was over.
        is_silent: Whether it began with a last sign of life, of which there is no record.
    """
    first = bisect_left(time.told, begun - BEFORE, key=lambda each: each.t)
    last = bisect_right(time.told, ended + AFTER, key=lambda each: each.t)
    failures = {id(each) for outage in time.outages for each in outage.failures}
    said = [*_connected_since(time.told[:first], begun), *_say(time.told[first:last], failures)]
    if is_silent:
        said.append(_Told(begun, "life", "the last sign of life"))
    phases: dict[Phase, list[_Told]] = {"before": [], "during": [], "after": []}
    for each in sorted(said, key=lambda each: each.t):
        phases["before" if each.t < begun else "during" if each.t <= ended else "after"].append(each)
    return tuple(
        Moment(time.labels.at(each.t), each.t - begun, phase, each.text)
        for phase, some in phases.items()
        for each in _shorten(_fold(some), *LIMITS[phase])
    )


def _connected_since(told: Sequence[Happening], begun: float) -> list[_Told]:
    """When the connection that was in trouble was made, if that is long ago."""
    last = next((each for each in reversed(told) if each.event in TURNS), None)
    if last is None or last.event != "connected":
        return []
    return [_Told(last.t, "", f"connected, for {seconds(begun - last.t)} by then", is_weighty=True)]


def _say(told: Sequence[Happening], failures: set[int]) -> list[_Told]:
    """Sentences; attempts that failed in a row are one."""
    said: list[_Told] = []
    row: list[Happening] = []
    for each in told:
        if id(each) in failures:
            row.append(each)
        elif each.event not in SILENT and not _is_ending(each):
            said += _attempts(row)
            row = []
            text = sentence(each)
            if text is not None:
                said.append(_Told(each.t, _key(each), text, each.event in WEIGHTY))
    return said + _attempts(row)


def _is_ending(each: Happening) -> bool:
    """Whether a state tells of an end, which `lost` or `closed` tells better."""
    return each.event == "state" and each.fields.get("to") == "DISCONNECTED"


def _key(each: Happening) -> str:
    """What makes two records the same to people, so that only one is told. Verdicts, losses and states are told each."""
    return "" if each.event in ("lost", "state", "connected", "gate") else each.event


def _attempts(row: list[Happening]) -> list[_Told]:
    if not row:
        return []
    causes = ", ".join(
        f"{cause.replace('_', ' ')}{'' if count == len(row) else f' ({count})'}"
        for cause, count in Counter(map(cause_of, row)).most_common()
    )
    many = f"{len(row)} attempts failed in {row[-1].t - row[0].t:.0f} s" if len(row) > 1 else "an attempt failed"
    return [_Told(row[0].t, COUNTED, f"{many}: {causes}")]


def _fold(some: list[_Told]) -> list[_Told]:
    """One moment for several of a kind in a row."""
    folded: list[_Told] = []
    more = 0
    for index, each in enumerate(some):
        if folded and each.key and each.key == folded[-1].key:
            more += 1
        else:
            folded.append(each)
            more = 0
        is_last = index + 1 == len(some) or some[index + 1].key != each.key
        if more and is_last:
            until = "" if each.t - folded[-1].t < 1 else f" until {each.t - folded[-1].t:.0f} s later"
            folded[-1] = folded[-1]._replace(text=f"{folded[-1].text} (and {more} more{until})")
    return folded


def _shorten(some: list[_Told], first: int, last: int) -> list[_Told]:
    count = len(some)
    weighty = [index for index, each in enumerate(some) if each.is_weighty]
    kept = {*range(min(first, count)), *range(max(0, count - last), count), *weighty[:MOST_WEIGHTY]}
    if count - len(kept) <= 1:  # a line that says that one line is missing is no shorter
        return some
    mark = min(set(range(count)) - kept)
    told = {index: some[index] for index in kept} | {mark: _Told(some[mark].t, "", f"{count - len(kept)} more")}
    return [told[index] for index in sorted(told)]
