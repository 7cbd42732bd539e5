"""Trouble that several lines had at once: the venue's, or our own.

An outage begins with the loss of a connection and ends with the next one. Outages are at the same time if they overlap, or
begin within `APART` of each other. Several clients whose lines to a venue fail at once have the venue in common; a client
all of whose lines fail, while others' do not, has itself to blame, or its network. Where only one client was read, its lines
to other hosts decide, or else what the losses themselves tell: whether a peer closed, or was silent although its kernel
acknowledged. Whatever happened in or just after a local stall is never put down to a venue; and connections that were made
together and end at the same age, such as 24 h, are no trouble of anybody's.

How many such events chance gives: were each line's outages shifted by a random time of its own around the circle of the
data (which leaves everything within a line as it is), an outage would meet another line's with the probability that is the
part of the time which those fill. The expected number is exact; the count's law is taken as Poisson's. Events within an
hour of each other count once, since outages come in swarms.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import msgspec
import numpy as np
from scipy.stats import poisson

from ...observe.printable import printable
from ..findings import Finding
from ..statistics import wilson
from ..wording import fraction
from .chance import Tested
from .series import HOUR

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..findings import Estimate
    from ..tables import Floats, Journals
    from .lost import Loss

APART = 10.0
"""Seconds between the beginnings of outages that are one event."""
CLOSE = 60.0
"""Seconds between two outages of one line that are one."""
MOST = 2 / 3
"""Of a venue's lines, or of a client's, that make it the venue's or the client's event."""
FEW = 3
"""Events that are a pattern."""
TOLERATED = 1 / 7
"""Hours a day with a local stall that are nobody's concern."""
PEERS = frozenset({"closed_by_peer", "goodbye", "connect_refused", "handshake", "PEER_SILENT", "PEER_SLOW"})
"""Causes and blames that are the peer's own."""
OURS = frozenset({"PATH_DEAD", "dns", "connect_timeout", "LOCAL_STALL"})
"""... and those of the way there."""

Side = Literal["venue_wide", "local"]


@dataclass(frozen=True, slots=True)
class Outage:
    """Of one line, in Unix seconds; ``signs``: +1 for each loss by the peer's own doing, -1 for each on the way."""

    line: int
    begin: float
    end: float
    signs: int


Event = tuple[float, list[Outage]]
"""When it began, and the outages of several lines that are in it."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Lines that have something in common: a host, or a client."""

    side: Side
    name: str
    lines: frozenset[int]

    @property
    def enough(self) -> int:
        """How many of its lines make an event its own."""
        return max(2, int(np.ceil(MOST * len(self.lines))))


def host_of(endpoint: str) -> str:
    """The host of an endpoint, which is a URL or `host:port`."""
    try:
        parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
        return (parts.hostname or endpoint).lower()
    except ValueError:
        return endpoint


def outages(lost: Iterable[Loss]) -> dict[int, list[Outage]]:
    """By line, in order of time; losses of our own fault are none."""
    found: dict[int, list[Outage]] = {}
    for loss in lost:
        if loss.is_ours:
            continue
        end = loss.at if loss.back_at is None else loss.back_at
        signs = (loss.cause in PEERS or loss.blame in PEERS) - (loss.cause in OURS or loss.blame in OURS)
        track = found.setdefault(loss.line, [])
        if track and loss.at <= track[-1].end + CLOSE:
            before = track.pop()
            track.append(Outage(loss.line, before.begin, max(before.end, end), before.signs + signs))
        else:
            track.append(Outage(loss.line, loss.at, end, signs))
    return found


def together(journals: Journals, lost: list[Loss]) -> list[Tested]:
    """Test every host and every client with several lines, and every client's local stalls."""
    tracks = outages(lost)
    scopes = _scopes(journals, "venue_wide") + _scopes(journals, "local")
    owned: dict[tuple[Side, str], list[Event]] = {}
    for event in _events(tracks):
        owner = _owner(journals, event)
        if owner is not None:
            owned.setdefault(owner, []).append(event)
    tests = [
        _test(journals, scope, tracks, owned.get((scope.side, scope.name), []))
        for scope in scopes
        if any(line in tracks for line in scope.lines)
    ]
    return tests + list(_stalls(journals))


def _scopes(journals: Journals, side: Side) -> list[Scope]:
    members: dict[str, set[int]] = {}
    for index, line in enumerate(journals.lines):
        members.setdefault(host_of(line.endpoint) if side == "venue_wide" else line.client, set()).add(index)
    scopes = [Scope(side, name, frozenset(lines)) for name, lines in members.items() if len(lines) > 1]
    if side == "venue_wide" and len(members) > 1:
        scopes.append(Scope(side, "", frozenset(range(len(journals.lines)))))
    return scopes


def _events(tracks: dict[int, list[Outage]]) -> list[Event]:
    """Moments at which several lines had an outage, with these; each outage begins one event at most."""
    ordered = sorted((each for track in tracks.values() for each in track), key=lambda each: each.begin)
    begins = {line: [each.begin for each in track] for line, track in tracks.items()}
    found: list[Event] = []
    used: set[int] = set()
    for index, each in enumerate(ordered):
        if index in used:
            continue
        members = {each.line: each}
        for line, track in tracks.items():
            last = bisect_right(begins[line], each.begin + APART) - 1
            if last >= 0 and track[last].end >= each.begin - APART:
                members.setdefault(line, track[last])
        later = index + 1
        while later < len(ordered) and ordered[later].begin <= each.begin + APART:
            used.add(later)
            later += 1
        if len(members) > 1:
            found.append((each.begin, list(members.values())))
    return found


def _owner(journals: Journals, event: Event) -> tuple[Side, str] | None:
    """Whose an event is: a host's ("" for several hosts), a client's, or nobody's."""
    at, members = event
    out = {each.line for each in members}
    watched = _watched(journals, at) | out
    hosts = {line: host_of(journals.lines[line].endpoint) for line in watched}
    clients = {line: journals.lines[line].client for line in watched}
    full = [name for name in dict.fromkeys(hosts[line] for line in out) if _has_most(name, hosts, out)]
    whole = [name for name in dict.fromkeys(clients[line] for line in out) if _has_most(name, clients, out)]
    affected = {clients[line] for line in out}
    if len(affected) > 1:
        common = full or [host for host in {hosts[line] for line in out} if _clients(host, hosts, clients, out) > 1]
        return ("venue_wide", common[0] if len(common) == 1 else "") if common else None
    client = next(iter(affected))
    elsewhere = {line for line in watched if clients[line] != client and hosts[line] in {hosts[each] for each in out}}
    if client in whole and elsewhere:
        return "local", client
    rest = {line for line in watched if clients[line] == client} - out
    if len(full) == 1 and not elsewhere and any(hosts[line] != full[0] for line in rest):
        return "venue_wide", full[0]
    if client not in whole:
        return None
    if sum(each.signs for each in members) > 0:
        return "venue_wide", full[0] if len(full) == 1 else ""
    return "local", client


def _has_most(name: str, names: dict[int, str], out: set[int]) -> bool:
    lines = [line for line in names if names[line] == name]
    return len(lines) > 1 and sum(line in out for line in lines) >= max(2, MOST * len(lines))


def _clients(host: str, hosts: dict[int, str], clients: dict[int, str], out: set[int]) -> int:
    return len({clients[line] for line in out if hosts[line] == host})


def _watched(journals: Journals, at: float) -> set[int]:
    """Lines that had a session then."""
    return {each.line for each in journals.sessions if each.begun_at <= at <= each.ended_at}


def _test(journals: Journals, scope: Scope, tracks: dict[int, list[Outage]], own: list[Event]) -> Tested:
    apart = _apart([at for at, _ in own])
    begun = min(each.begun_at for each in journals.sessions)
    ended = max(each.ended_at for each in journals.sessions)
    expected = _expected([tracks.get(line, []) for line in scope.lines], scope.enough, ended - begun)
    p = float(poisson.sf(len(apart) - 1, expected)) if apart else 1.0
    if len(apart) < FEW:
        return Tested("together", p)
    return Tested("together", p, _finding(scope, tracks, own, apart, p, (begun, ended)))


def _apart(moments: Sequence[float]) -> list[float]:
    """Those that begin an hour or more after the last one that counted."""
    chosen: list[float] = []
    for at in moments:
        if not chosen or at >= chosen[-1] + HOUR:
            chosen.append(at)
    return chosen


def _expected(tracks: list[list[Outage]], enough: int, length: float) -> float:
    """How many outages would meet those of so many other lines by chance."""
    filled = np.array([min(1.0, sum(each.end - each.begin + 2 * APART for each in track) / length) for track in tracks])
    total = 0.0
    for index, track in enumerate(tracks):
        total += len(track) * _at_least(np.delete(filled, index), enough - 1)
    return total


def _at_least(chances: Floats, count: int) -> float:
    """The probability that so many of independent events happen."""
    law = np.zeros(len(chances) + 1)
    law[0] = 1.0
    for each in chances:
        law[1:] = law[1:] * (1 - each) + law[:-1] * each
        law[0] *= 1 - each
    return float(np.sum(law[count:]))


def _finding(
    scope: Scope,
    tracks: dict[int, list[Outage]],
    own: list[Event],
    apart: list[float],
    p: float,
    span: tuple[float, float],
) -> Finding:
    lines = tuple(sorted({each.line for _, members in own for each in members}))
    total = sum(len(tracks.get(line, [])) for line in scope.lines)
    inside = sum(each.line in scope.lines for _, members in own for each in members)
    share = min(1.0, inside / total)
    name = printable(scope.name)
    whose = f"at {name}" if name else "at several venues"
    blame = "that points to the venue rather than to us" if name else "what these venues share is the likely cause"
    claim = (
        f"{len(apart)} times several clients or connections were lost {whose} at once, {fraction(share)} of all outages"
        f" there: {blame}."
        if scope.side == "venue_wide"
        else f"{len(apart)} times all connections of {name} were lost at once, {fraction(share)} of its outages: its own"
        " machine, its network or the way out is the likely cause, not the venues."
    )
    finding = _record(scope.side, claim, _share(inside, total, len(apart)), apart, p, span, lines)
    if scope.side == "venue_wide":
        return finding
    return msgspec.structs.replace(finding, details={**finding.details, "cause": "way_out"})


def _share(part: int, whole: int, n: int) -> Estimate:
    """A fraction with its Wilson interval; ``n`` is of what the finding is about."""
    return msgspec.structs.replace(wilson(min(part, whole), whole), n=n)


def _record(
    side: Side,
    claim: str,
    effect: Estimate,
    moments: list[float],
    p: float,
    span: tuple[float, float],
    lines: tuple[int, ...],
) -> Finding:
    early = sum(at <= sum(span) / 2 for at in moments)
    return Finding(
        kind=side,
        metric="losses",
        line=None,
        claim=claim,
        effect=effect,
        n=len(moments),
        p=p,
        p_adjusted=p,
        begun_at=span[0],
        ended_at=span[1],
        halves_agree=min(early, len(moments) - early) >= len(moments) / 4,
        details={"incidents": len(moments), "lines": lines},
    )


def _stalls(journals: Journals) -> Iterable[Tested]:
    """Whether a client's program did not run, or its clock was set, in more than one hour a week."""
    cells, stalled = journals.cells, [each for each in journals.happenings if each.event == "local_stall"]
    for client in dict.fromkeys(line.client for line in journals.lines):
        lines = tuple(index for index, line in enumerate(journals.lines) if line.client == client)
        sessions = [each for each in journals.sessions if each.line in lines]
        mine = np.isin(cells.line, lines)
        hours = set((cells.begin[mine & (cells.ours > 0)] // HOUR).tolist())
        writers = {each.writer for each in sessions}
        hours |= {int(each.at // HOUR) for each in stalled if each.writer in writers}
        if not hours or not sessions:
            continue
        span = (min(each.begun_at for each in sessions), max(each.ended_at for each in sessions))
        p = float(poisson.sf(len(hours) - 1, max(1.0, TOLERATED * (span[1] - span[0]) / 86400)))
        yield Tested("together", p, _stall_finding(journals, client, lines, sorted(hours), p, span))


def _stall_finding(
    journals: Journals, client: str, lines: tuple[int, ...], hours: list[int], p: float, span: tuple[float, float]
) -> Finding | None:
    if len(hours) < FEW:
        return None
    cells = journals.cells
    mine = np.isin(cells.line, lines)
    ours, sent = int(cells.ours[mine].sum()), max(1, int(cells.sent[mine].sum()))
    claim = (
        f"The program of {printable(client)} did not run as it should in {len(hours)} hours ({fraction(ours / sent)} of its"
        " pings): no peer is blamed for these."
    )
    effect = _share(ours, sent, len(hours))
    return _record("local", claim, effect, [float(hour * HOUR) for hour in hours], p, span, lines)
