"""Advice from one pattern."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ..observe.printable import printable
from .advice_text import confidence_of, configured, whole
from .findings import Finding, Recommendation
from .losses import number
from .patterns.together import host_of
from .wording import WEEKDAYS, fraction, moment, seconds

if TYPE_CHECKING:
    from .tables import Journals

IDLE_PART = 0.8
"""Part of the idle time that killed a connection which an interval may have at most."""
MIN_INTERVAL = 5.0
NOTHING = "nothing to set: "


class Words(NamedTuple):
    """What is particular to a kind: what to write, what it brings, what speaks against it, and an id's last part."""

    change: str
    gain: str
    against: str
    tag: str = ""


def advise(journals: Journals, finding: Finding) -> Recommendation | None:
    """What follows from a pattern; None: nothing."""
    words = BY_KIND[finding.kind](journals, finding)
    if words is None:
        return None
    where = "all" if finding.line is None else str(finding.line)
    return Recommendation(
        id="-".join(part for part in (finding.kind.replace("_", "-"), where, words.tag) if part),
        line=finding.line,
        claim=finding.claim,
        effect=finding.effect,
        unit=finding.unit,
        n=finding.n,
        p_adjusted=finding.p_adjusted,
        begun_at=finding.begun_at,
        ended_at=finding.ended_at,
        confidence=confidence_of(finding),
        change=words.change,
        gain=words.gain,
        against=words.against,
    )


def _idle_kill(journals: Journals, finding: Finding) -> Words | None:
    survived, killed = (_number(finding, name) for name in ("survived", "killed"))
    interval = _round_down(max(MIN_INTERVAL, min(IDLE_PART * killed, survived)))
    heartbeat = configured(journals, finding.line, "heartbeat")
    pings, now = heartbeat.get("schedule") != "never", number(heartbeat, "ping_interval")
    if pings and now is not None and now <= interval:
        return None  # it pings often enough: something else is the matter
    change = f"ping_interval = {whole(interval)}" + ("" if pings else ', schedule = "every"')
    return Words(
        change,
        f"Connections are never idle for the {killed:.4g} s that kill them: {finding.n} losses less in"
        f" {seconds(finding.ended_at - finding.begun_at)}.",
        f"{whole(round(3600 / interval, 1))} pings an hour count towards the venue's message limit, where it counts pings;"
        f" what lies between {survived:.4g} s and {killed:.4g} s was not observed.",
    )


def _round_down(interval: float) -> float:
    """To a number that somebody would choose."""
    step = 15 if interval >= 30 else 5 if interval >= 10 else 1
    return float(interval // step * step)


def _period(_journals: Journals, finding: Finding) -> Words | None:
    period = _number(finding, "period")
    if not finding.details.get("is_age"):
        return Words(
            f"{NOTHING}the losses come at a fixed time, whatever a connection's age; ask the operator what happens every"
            f" {seconds(period)}",
            "None by itself; a line to another host (open_redundant_feed) would carry the quotes meanwhile.",
            f"It rests on {finding.n} losses.",
            "clock",
        )
    lowest = finding.effect.low if finding.effect.low is not None and finding.effect.low > 0 else period
    age = int(min(period, lowest))
    return Words(
        f"RotationPolicy(max_age={age})",
        f"Each connection is replaced before the {seconds(period)} after which it is closed, without a gap:"
        f" {finding.n} losses less in {seconds(finding.ended_at - finding.begun_at)}.",
        "Two connections at once for a few seconds of each rotation: they count towards the venue's limits.",
    )


def _slower(journals: Journals, finding: Finding) -> Words | None:
    than = int(_number(finding, "than"))
    if finding.line is None or not 0 <= than < len(journals.lines):
        return None
    slow, fast = journals.lines[finding.line], journals.lines[than]
    if slow.client == fast.client:
        one, other = printable(fast.endpoint), printable(slow.endpoint)
        return Words(
            f"heartbeat-trio balance {one} {other}",
            f"Quotes come from {one} while it is better, and from {other} when it is not.",
            "Round trips say nothing about how old the quotes are; a balancer keeps a connection to both.",
        )
    if slow.endpoint != fast.endpoint:
        return None  # two ways to two places have nothing in common that one could choose
    one, other = printable(fast.client), printable(slow.client)
    return Words(
        f"{NOTHING}run it where {one} runs rather than where {other} does, or ask why its way is longer",
        f"The round trips of {one}.",
        "Round trips say nothing about how old the quotes are.",
    )


def _season(_journals: Journals, finding: Finding) -> Words | None:
    numbers = _numbers(finding, "numbers")
    if not numbers or (finding.effect.value or 0.0) <= 0:
        return None
    is_hour = finding.kind == "hour"
    names = ", ".join(f"{number:02}:00-{number:02}:59" if is_hour else WEEKDAYS[number] for number in numbers)
    zone = finding.details.get("zone", "UTC")
    return Words(
        f"gate = session.gate(); send orders only while gate.is_open, and prefer another endpoint at {names} ({zone})",
        "Orders are not sent in the bad moments of these times; the pattern itself is not ours to change.",
        f"Orders that wait are not filled; the pattern rests on {finding.n} {'days' if is_hour else 'weeks'}.",
        "-".join(map(str, numbers)),
    )


def _step(_journals: Journals, finding: Finding) -> Words | None:
    before, after = (_number(finding, name) for name in ("before", "after"))
    if after <= before:
        return None
    at = _number(finding, "moment_at")
    return Words(
        f"{NOTHING}look at what you deployed or rerouted at {moment(at)}, else ask the venue what it changed then",
        f"Up to {1000 * (after - before):.3g} ms of each round trip, if it can be undone.",
        "The moment is known to within some hours; what caused it is not in a journal.",
        f"{int(at // 3600)}",
    )


def _drift(_journals: Journals, finding: Finding) -> Words | None:
    per_day = _number(finding, "per_day")
    if per_day <= 0:
        return None
    return Words(
        f"{NOTHING}show the venue's operator the round trips since {moment(finding.begun_at)}",
        f"At {fraction(per_day)} a day they double in {0.69 / per_day:.0f} days; the sooner somebody looks, the better.",
        "A trend of the past need not go on.",
    )


def _venue_wide(journals: Journals, finding: Finding) -> Words | None:
    lines = _numbers(finding, "lines")
    endpoints = [journals.lines[line].endpoint for line in lines if line < len(journals.lines)]
    names = ", ".join(map(printable, endpoints))
    is_one = len(set(map(host_of, endpoints))) == 1
    which = "the same venue" if is_one else "these venues"
    remedy = "ask the venue, or add another venue" if is_one else "ask them what they share, or add a venue elsewhere"
    return Words(
        f"{NOTHING}more lines to {which} would fail together ({names}); {remedy}",
        "None by a setting of ours.",
        f"It rests on {finding.n} incidents; a fault of your own uplink looks the same if all lines share it.",
        "-".join(map(str, lines)),
    )


def _local(journals: Journals, finding: Finding) -> Words | None:
    lines = _numbers(finding, "lines")
    if finding.details.get("cause") == "way_out":
        return Words(
            f"{NOTHING}look at the machine, its network and its way out; a second client elsewhere would live on",
            "None by a setting of ours.",
            f"It rests on {finding.n} incidents; a fault that the venues share looks alike from one client.",
            "-".join(["way-out", *map(str, lines)]),
        )
    clients = {journals.lines[line].client for line in lines if line < len(journals.lines)}
    writers = {each.writer for each in journals.sessions if journals.lines[each.line].client in clients}
    stalls = [each for each in journals.happenings if each.event == "local_stall" and each.writer in writers]
    hours = Counter(int(each.at // 3600) for each in stalls).most_common(3)
    worst = ", ".join(f"{moment(3600.0 * hour)} ({count})" for hour, count in sorted(hours))
    return Words(
        "await trio.to_thread.run_sync(work) for what computes or blocks for longer than 50 ms, or a process of its own for"
        " the connections",
        "Pongs are read when they come: no ping of these hours is voided, and no loss is found late."
        + (f" Most stalls: {worst}." if worst else ""),
        f"Seen in {finding.n} hours; a machine that slept or whose clock was set looks alike.",
        "-".join(map(str, lines)),
    )


def _number(finding: Finding, name: str) -> float:
    value = finding.details.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _numbers(finding: Finding, name: str) -> tuple[int, ...]:
    value = finding.details.get(name)
    return tuple(each for each in value if isinstance(each, int)) if isinstance(value, list | tuple) else ()


BY_KIND: dict[str, Callable[[Journals, Finding], Words | None]] = {
    "idle_kill": _idle_kill,
    "period": _period,
    "slower": _slower,
    "hour": _season,
    "weekday": _season,
    "step": _step,
    "drift": _drift,
    "venue_wide": _venue_wide,
    "local": _local,
}
