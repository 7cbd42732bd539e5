"""Made-up journals: in the journal's format, true to the heartbeat's rules, and with what was planted."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from math import log
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import trio

from heartbeat_trio.config import BackoffPolicy, HeartbeatPolicy
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.journal import Entry, JournalPolicy, PingEntry, open_journal, read_journal
from heartbeat_trio.journal.records import parse_line
from heartbeat_trio.sansio.heartbeat import Heartbeat
from heartbeat_trio.sansio.pings import SendPing
from heartbeat_trio.session import open_session
from heartbeat_trio.testing import (
    Drift,
    HourlySlowdown,
    IdleKill,
    Law,
    LocalStalls,
    MissRate,
    Outages,
    PeriodicDisconnect,
    ScriptedPeer,
    SlowEndpoint,
    Step,
    Truth,
    VirtualNetwork,
    WeekdaySlowdown,
    _made_up_writer,
    make_up_journal,
)

A, B = "ws://a.example/feed", "ws://b.example/feed"
NAME_A, NAME_B = "ws://a.example:80/feed", "ws://b.example:80/feed"
RARER = HeartbeatPolicy(ping_interval=300.0, max_pongless=5000.0)
EACH_MINUTE = HeartbeatPolicy(ping_interval=60.0, max_pongless=1000.0)
RARE = HeartbeatPolicy(ping_interval=400.0, max_pongless=5000.0)
STEADY = Law(hour_sigma=0.0, day_sigma=0.0, outliers=0.0, spikes=0.0, misses=0.0)


class Told:
    """A journal that was read back."""

    def __init__(self, folder: Path, truth: Truth, *, is_whole: bool = True) -> None:
        self.truth = truth
        self.reader = read_journal(folder)
        records = list(self.reader.records()) if is_whole else pings_of(self.reader.files())
        self.entries = [each for each in records if isinstance(each, Entry)]
        self.all_pings = [each for each in records if isinstance(each, PingEntry)]
        sessions = {each.session: each for each in self.entries if each.event == "session"}
        self.endpoint = {name: each.endpoint for name, each in sessions.items()}
        self._ahead = {name: datetime.fromisoformat(each.at).timestamp() - each.t for name, each in sessions.items()}

    def of(self, *events: str) -> list[Entry]:
        return [each for each in self.entries if each.event in events]

    def pings(self, endpoint: str = NAME_A) -> list[PingEntry]:
        """The last record of each ping."""
        last = {(p.session, p.connection, p.ping): p for p in self.all_pings if self.endpoint[p.session] == endpoint}
        return list(last.values())

    def at(self, record: PingEntry | Entry) -> float:
        assert record.session is not None
        return record.t + self._ahead[record.session]

    def medians(self, seconds: float, endpoint: str = NAME_A) -> tuple[np.ndarray, np.ndarray]:
        """When each stretch of so many seconds begins, and the logarithm of its median."""
        stretches: dict[float, list[float]] = {}
        for each in self.pings(endpoint):
            if each.rtt is not None:
                stretches.setdefault(self.at(each) // seconds * seconds, []).append(each.rtt)
        return np.array([*stretches]), np.log([np.median(rtts) for rtts in stretches.values()])


def pings_of(paths: list[Path]) -> list[Entry | PingEntry | None]:
    """Pings and sessions only: most of a long journal with rare pings are statistics."""
    lines = (line for path in paths for line in path.read_bytes().splitlines())
    return [parse_line(line) for line in lines if line.startswith((b'["p"', b'{"event":"session"'))]


def made_up(folder: Path, *, is_whole: bool = True, **arguments: Any) -> Told:
    truth = make_up_journal(folder, **arguments)
    return Told(folder, truth, is_whole=is_whole)


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Two days with a bit of everything, and a restart."""
    return made_up(
        tmp_path_factory.mktemp("troubled"),
        days=2,
        endpoints=(A, B),
        seed=5,
        planted=(
            Outages(per_day=30, mean_length=25),
            Outages(per_day=4, venue_wide=True),
            LocalStalls(per_day=12),
            PeriodicDisconnect(period=30_000, is_age=False),
            MissRate(rate=0.01),
        ),
        client_restarts=(0.6,),
    )


def test_all_is_read_back(troubled: Told) -> None:
    """Nothing is torn or unknown, and the counts are the truth's."""
    reader, truth = troubled.reader, troubled.truth
    counted = {endpoint: len(troubled.pings(endpoint)) for endpoint in (NAME_A, NAME_B)}
    fates = Counter(each.fate for endpoint in (NAME_A, NAME_B) for each in troubled.pings(endpoint))
    assert (0, 0, {}) == (reader.torn, reader.unknown, reader.skipped)
    assert truth.pings == counted
    assert {fate: count for fate, count in truth.fates.items() if count} == dict(fates)
    assert truth.records == len(troubled.entries) + len(troubled.all_pings)
    assert truth.size == sum(path.stat().st_size for path in truth.folder.iterdir())
    assert {"answered", "late", "missed", "voided"} <= set(fates)
    assert truth.connections == dict(Counter(each.endpoint for each in troubled.of("connected")))


def test_files_are_the_writers(troubled: Told) -> None:
    """One writer for each run, a file for each of its days, which begins with the journal and the sessions that run."""
    names = [path.name.split(".") for path in troubled.reader.files()]
    writers = list(dict.fromkeys(name[1] for name in names))
    assert [("2026-01-05", 0), ("2026-01-05", 1), ("2026-01-06", 1)] == sorted((n[0], writers.index(n[1])) for n in names)
    for path in troubled.reader.files():
        first = list(troubled.reader.read_file(path))[:3]
        assert ["journal", "session", "session"] == [each.event for each in first if isinstance(each, Entry)]
        assert path.stat().st_mode & 0o777 == 0o600
    assert {"0001"} == {name[2] for name in names}


def test_records_of_a_file_are_in_their_order(troubled: Told) -> None:
    """A ping's record comes when the next ping is due, or its connection ends: never before something that was earlier."""
    for path in troubled.reader.files():
        times = [each.t for each in troubled.reader.read_file(path) if isinstance(each, Entry)]
        assert times[3:] == sorted(times[3:])


def test_statistics_count_what_the_pings_say(troubled: Told) -> None:
    """The last ones of each session have all its pings; percentiles are those of the last hundred."""
    last = {each.session: each for each in troubled.of("statistics")}
    pings = [*troubled.pings(NAME_A), *troubled.pings(NAME_B)]
    assert 4 == len(last)
    for session, entry in last.items():
        fates = Counter(each.fate for each in pings if each.session == session)
        fields = entry.fields
        assert fates == Counter({fate: fields[fate] for fate in ("answered", "late", "missed", "voided", "cancelled")})
        assert fields["sent"] == fates.total()
        assert fields["min_ms"] <= fields["p50_ms"] <= fields["p95_ms"] <= fields["p99_ms"] <= fields["max_ms"]
        assert 0 == fields["in_flight"]


def test_the_heartbeats_rule_gives_the_recorded_losses(troubled: Told) -> None:
    """Counted by hand: the n-th miss of a ping that was due after the last sign of life ends the connection."""
    recorded = {(e.session, e.connection): e.t for e in troubled.of("lost") if e.fields["cause"] == "pong_timeout"}
    connections: dict[tuple[str, int], list[PingEntry]] = {}
    for ping in [*troubled.pings(NAME_A), *troubled.pings(NAME_B)]:
        connections.setdefault((ping.session, ping.connection), []).append(ping)
    found = {}
    for key, pings in connections.items():
        at = verdict(sorted(pings, key=lambda each: each.ping), HeartbeatPolicy())
        if at is not None:
            found[key] = at
    assert 20 < len(recorded)
    assert recorded == pytest.approx(found, abs=1e-5)


def verdict(pings: list[PingEntry], policy: HeartbeatPolicy) -> float | None:
    """When the peer of these pings is dead."""
    misses = 0
    for index, ping in enumerate(pings):
        deadline = ping.t + policy.pong_timeout
        if ping.first_in is not None and ping.t + ping.first_in <= deadline:
            misses = 0
        elif ping.fate in ("missed", "late"):
            misses += 1
            if misses == policy.max_missed_pongs:
                return deadline
        if index and ping.first_in is not None:
            misses = 0
    return None


class Phase(Random):
    """Gives the second ping of a schedule the place that it had."""

    part = 1.0

    def uniform(self, a: float, b: float) -> float:
        return self.part


@pytest.mark.parametrize(
    ("policy", "law"),
    [
        (HeartbeatPolicy(), Law(misses=0.5, quotes=0.05)),
        (HeartbeatPolicy(liveness="pong_only"), Law(misses=0.5, quotes=1)),
        (HeartbeatPolicy(ping_interval=1.0, max_missed_pongs=2), Law(misses=0.05, quotes=0.2)),
        (HeartbeatPolicy(ping_interval=1.0, max_missed_pongs=2), Law(rtt=2.0, sigma=0.5, quotes=0.2)),
    ],
    ids=["misses", "pong_only", "overlapping", "slow"],
)
def test_a_replay_gives_the_recorded_losses(tmp_path: Path, policy: HeartbeatPolicy, law: Law) -> None:
    """The recorded pings through a heartbeat with the recorded policy: the same verdicts at the same times, no others."""
    outages = Outages(per_day=40, mean_length=8, causes=("path_dead", "peer_silent"))
    told = made_up(tmp_path, days=0.1, heartbeat=policy, law=law, planted=(outages,))
    ends = {each.connection: each.t for each in told.of("lost", "closed") if each.connection}
    recorded = {each.connection: each.t for each in told.of("lost") if each.fields["cause"] == "pong_timeout"}
    by_connection: dict[int, list[PingEntry]] = {}
    for ping in sorted(told.pings(), key=lambda each: each.t):
        by_connection.setdefault(ping.connection, []).append(ping)
    found = {number: replayed(pings, policy, ends[number]) for number, pings in by_connection.items()}
    assert len(recorded) > 3
    assert recorded == pytest.approx({number: at for number, at in found.items() if at is not None}, abs=1e-4)


def replayed(pings: list[PingEntry], policy: HeartbeatPolicy, end: float) -> float | None:
    """When a heartbeat calls the peer of these pings dead."""
    rng = Phase(1)
    rng.part = (pings[1].t - pings[0].t) / policy.ping_interval if len(pings) > 1 else 1.0
    heartbeat, nonces = Heartbeat(policy, now=pings[0].t, rng=rng), dict[int, bytes]()
    pongs = {each.ping: each.t + (each.sent_after or 0) + each.rtt for each in pings if each.rtt is not None}
    inbound = [(at, number) for number, at in pongs.items()] + [(end + 0.001, 0)]
    answered = {round(at, 5) for at in pongs.values()} | {round(at + 1e-5, 5) for at in pongs.values()}
    for each in pings:
        bytes_in = [each.t + moment for moment in (each.first_in, each.last_in) if moment is not None]
        inbound += [(at, 0) for at in bytes_in if round(at, 5) not in answered]
    for at, number in sorted(inbound):
        while heartbeat.next_deadline() < at:
            now = heartbeat.next_deadline()
            for decision in heartbeat.handle_timer(now):
                if isinstance(decision, SendPing):
                    nonces[decision.number] = decision.nonce
                    heartbeat.ping_sent(decision.nonce, now)
            if heartbeat.is_over:
                return now
        if number:
            heartbeat.receive_pong(nonces[number], at)
        else:
            heartbeat.receive_data(at)
    return None


def test_outages_are_where_the_truth_says(troubled: Told) -> None:
    """Silent ones are found within the bound if they last as long, loud ones at once; it is connected after their end."""
    truth, bound = troubled.truth, HeartbeatPolicy().bound
    connected = {name: [troubled.at(e) for e in troubled.of("connected") if e.endpoint == name] for name in truth.endpoints}
    losses = {(each.endpoint, round(each.at, 3)): each for each in truth.losses}
    assert {each.trouble for each in truth.outages} == {"path_dead", "peer_silent", "reset", "closed_by_peer"}
    for outage in truth.outages:
        if outage.trouble in ("reset", "closed_by_peer"):
            assert outage.begun_at == outage.lost_at
        elif outage.ended_at - outage.begun_at > bound + 0.1:
            assert outage.lost_at is not None
        if outage.lost_at is None:
            continue
        assert outage.lost_at <= outage.begun_at + bound + 0.1
        loss = losses[outage.endpoint, round(outage.lost_at, 3)]
        blames = {"path_dead": "PATH_DEAD", "peer_silent": "PEER_SILENT"}
        assert (blames.get(outage.trouble), "outage") == (loss.blame, loss.why)
        back = min(at for at in connected[outage.endpoint] if at > outage.lost_at)
        assert outage.ended_at <= back <= outage.ended_at + 40


def test_the_truth_has_every_loss(troubled: Told) -> None:
    """By time, cause and blame; attempts that failed are no losses of a connection."""
    established = []
    opened: set[tuple[str | None, int | None]] = set()
    for entry in troubled.of("connected", "lost"):
        key = (entry.session, entry.connection)
        if entry.event == "connected":
            opened.add(key)
        elif key in opened:
            opened.discard(key)
            established.append((entry.endpoint, round(troubled.at(entry), 3), entry.fields["cause"], entry.blame))
    true = [(each.endpoint, round(each.at, 3), each.cause, each.blame) for each in troubled.truth.losses]
    assert sorted(true) == sorted(established)
    assert {"outage", "rotation"} == {each.why for each in troubled.truth.losses}


def test_venue_wide_outages_are_everybodys(troubled: Told) -> None:
    """At the same times on all lines; the others are not."""
    outages = troubled.truth.outages
    wide = [[each.begun_at for each in outages if each.endpoint == name and each.venue_wide] for name in (NAME_A, NAME_B)]
    own = [{each.begun_at for each in outages if each.endpoint == name and not each.venue_wide} for name in (NAME_A, NAME_B)]
    assert wide[0] == wide[1] != []
    assert not own[0] & own[1]


def test_local_stalls_are_ours(tmp_path: Path) -> None:
    """Each is told by every session; pings are voided by them, or answered with the blame on us; nobody is lost."""
    told = made_up(tmp_path, days=1, endpoints=(A, B), law=STEADY, planted=(LocalStalls(per_day=60),))
    for name in (NAME_A, NAME_B):
        stalls = [each for each in told.of("local_stall") if each.endpoint == name]
        assert [each.ended_at for each in told.truth.stalls] == pytest.approx([told.at(each) for each in stalls], abs=0.001)
        lengths = [each.ended_at - each.begun_at for each in told.truth.stalls]
        assert lengths == pytest.approx([each.fields["seconds"] for each in stalls], abs=0.001)
    blamed = Counter(each.fate for each in told.all_pings if each.blame == "LOCAL_STALL")
    voided = [each for each in told.all_pings if each.fate == "voided"]
    assert () == told.truth.losses
    assert [] == told.of("pong_missed")
    assert len(voided) > 5
    assert blamed["answered"] > 5
    assert all(in_a_stall(told, each) for each in told.all_pings if each.blame or each.fate == "voided")


def in_a_stall(told: Told, ping: PingEntry) -> bool:
    at = told.at(ping)
    return any(each.begun_at < at + 3.001 and at - 0.001 <= each.ended_at for each in told.truth.stalls)


def test_idle_connections_are_forgotten_on_their_way(tmp_path: Path) -> None:
    """After 350 s without a byte, as the pings' first and last bytes tell too; it is found by the pings that follow."""
    told = made_up(tmp_path, days=3, heartbeat=RARE, planted=(IdleKill(),), law=STEADY)
    lost = told.of("lost")
    assert len(lost) == len(told.truth.kills) > 10
    for entry, kill in zip(lost, told.truth.kills, strict=True):
        assert ("pong_timeout", "PATH_DEAD") == (entry.fields["cause"], entry.blame)
        assert 350 == pytest.approx(kill.killed_at - kill.idle_since)
        assert kill.killed_at < told.at(entry) <= kill.killed_at + RARE.bound
        pings = [each for each in told.pings() if each.connection == entry.connection]
        heard = [each for each in pings if each.last_in is not None]
        assert kill.idle_since == pytest.approx(told.at(heard[-1]) + (heard[-1].last_in or 0), abs=0.001)
        assert ["missed"] * 3 == [each.fate for each in pings[-3:]]
        assert ["answered"] == list({each.fate for each in pings[:-3]})
    assert 300 < told.truth.survived[NAME_A] < 350


def test_pings_below_the_idle_time_keep_connections(tmp_path: Path) -> None:
    """With 300 s between pings nothing is forgotten."""
    policy = HeartbeatPolicy(ping_interval=300.0, max_pongless=5000.0)
    truth = make_up_journal(tmp_path, days=3, heartbeat=policy, planted=(IdleKill(),), law=STEADY)
    assert ((), ()) == (truth.kills, truth.losses)
    assert 864 == pytest.approx(truth.pings[NAME_A], abs=2)


@pytest.mark.parametrize("is_age", [True, False])
def test_periodic_disconnects(tmp_path: Path, is_age: bool) -> None:
    """By a connection's age, or by the clock."""
    told = made_up(
        tmp_path, days=3, law=STEADY, heartbeat=EACH_MINUTE, planted=(PeriodicDisconnect(period=40_000, is_age=is_age),)
    )
    lost = [told.at(each) for each in told.of("lost")]
    begins = [told.at(each) for each in told.of("connected")]
    expected = [at + 40_000 for at in begins[:6]] if is_age else [told.truth.begun_at + 40_000 * n for n in range(1, 7)]
    assert expected == pytest.approx(lost, abs=0.001)
    assert {"closed_by_peer"} == {each.fields["cause"] for each in told.of("lost")}


def test_slow_hours_follow_the_zones_clock(tmp_path: Path) -> None:
    """Nine in New York is 14:00 UTC in winter and 13:00 UTC once its clocks are set (8 March 2026)."""
    planted = HourlySlowdown(hours=(9,), factor=1.5, zone="America/New_York")
    told = made_up(
        tmp_path, days=6, start="2026-03-05", heartbeat=EACH_MINUTE, law=STEADY, planted=(planted,), is_whole=False
    )
    begins, medians = told.medians(3600)
    zone = ZoneInfo("America/New_York")
    is_slow = np.array([datetime.fromtimestamp(begin, zone).hour == 9 for begin in begins])
    utc = {datetime.fromtimestamp(begin, UTC).hour for begin in begins[is_slow]}
    assert {13, 14} == utc
    assert log(1.5) == pytest.approx(np.median(medians[is_slow]) - np.median(medians[~is_slow]), abs=0.03)
    assert min(medians[is_slow]) > max(medians[~is_slow])


def test_slow_weekdays_steps_and_drifts(tmp_path: Path) -> None:
    """A Wednesday slower by 30 % and a step of 50 % after 9.5 days; the other endpoint slower by half, and by 1 % a day."""
    planted = (
        WeekdaySlowdown(weekday=2, factor=1.3, endpoint=A),
        Step(at_day=9.5, factor=1.5, endpoint=A),
        Drift(per_day=0.01, endpoint=B),
        SlowEndpoint(endpoint=B, factor=1.5),
    )
    told = made_up(tmp_path, days=14, endpoints=(A, B), heartbeat=RARER, law=STEADY, planted=planted, is_whole=False)
    days = np.arange(28) / 2
    medians, others = told.medians(43200)[1], told.medians(43200, NAME_B)[1]
    expected = log(0.03) + log(1.3) * (days.astype(int) % 7 == 2) + log(1.5) * (days >= 9.5)
    assert expected == pytest.approx(medians, abs=0.06)
    assert log(0.03) + log(1.5) + log(1.01) * (days + 0.25) == pytest.approx(others, abs=0.06)


def test_missed_pings_from_a_day_on(tmp_path: Path) -> None:
    """One in a hundred from the second day on, and late in the end, since TCP loses nothing."""
    told = made_up(tmp_path, days=2, law=STEADY, planted=(MissRate(rate=0.01, from_day=1),))
    pings, noon = told.pings(), told.truth.begun_at + 86400
    late = [told.at(each) for each in pings if each.fate == "late"]
    assert all(at >= noon for at in late)
    assert 172.8 == pytest.approx(len(late), abs=45)
    assert [] == told.of("lost")


def test_the_null_law_is_autocorrelated(tmp_path: Path) -> None:
    """Hours resemble the hours before them by 0.6, days differ, and a few hours are far off."""
    policy = HeartbeatPolicy(ping_interval=600.0, max_pongless=5000.0)
    law = Law(sigma=0.02, day_sigma=0.0, outliers=0.0)
    levels = made_up(tmp_path / "hours", days=60, heartbeat=policy, law=law, is_whole=False).medians(3600)[1]
    levels = levels - levels.mean()
    assert 0.15 == pytest.approx(levels.std(), abs=0.03)
    assert 0.6 == pytest.approx((levels[1:] * levels[:-1]).mean() / levels.var(), abs=0.12)
    default = made_up(tmp_path / "all", days=60, heartbeat=policy, law=Law(sigma=0.02), is_whole=False).medians(3600)[1]
    by_day = np.median(default[: 60 * 24].reshape(60, 24), axis=1)
    assert 0.08 < by_day.std() < 0.20
    assert 0.005 < (default - np.repeat(by_day, 24) > 0.5).mean() < 0.04


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """Another seed, others."""
    arguments: dict[str, Any] = {"days": 0.3, "planted": (Outages(per_day=40), LocalStalls(per_day=20))}
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        make_up_journal(tmp_path / name, seed=seed, **arguments)
    one, again, two = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("one", "again", "two"))
    assert one == again
    assert not set(one) & set(two)


def test_large_days_are_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file can be read alone, and none is too large."""
    monkeypatch.setattr(_made_up_writer, "LARGEST", 300_000)
    told = made_up(tmp_path, days=0.5)
    paths = told.reader.files()
    assert 4 <= len(paths)
    assert [f"{number + 1:04}" for number in range(len(paths))] == [path.name.split(".")[2] for path in paths]
    assert all(path.stat().st_size <= 300_000 for path in paths)
    assert all([b'{"event":"journal"', b'{"event":"session"'] == heads(path) for path in paths)
    assert told.truth.pings == {NAME_A: len(told.pings())}


def heads(path: Path) -> list[bytes]:
    return [line[:18] for line in path.read_bytes().split(b"\n")[:2]]


async def test_records_look_like_those_of_a_real_client(tmp_path: Path, nursery: trio.Nursery, troubled: Told) -> None:
    """The same fields, and the same order of events from the first miss to the next connection."""
    net = VirtualNetwork()
    peer = ScriptedPeer(net.listen("server", 1))
    await nursery.start(peer.run)
    policy = HeartbeatPolicy(ping_interval=0.05, pong_timeout=0.03, max_missed_pongs=3)
    with trio.fail_after(4):
        async with (
            open_journal(tmp_path, policy=JournalPolicy(flush_interval=0.02)) as journal,
            open_session(
                "tcp://server:1",
                heartbeat=policy,
                backoff=BackoffPolicy(initial=0.02, maximum=0.05),
                journal=journal,
                connector=net.connect,
                rng=Random(1),
            ) as session,
        ):
            await session.wait_connected()
            await trio.sleep(0.2)
            net.host("server").freeze()
            while session.connections == 1 and session.status.value == "CONNECTED":
                await trio.sleep(0.01)
            net.host("server").thaw()
            while session.connections == 1:
                await trio.sleep(0.01)
    nursery.cancel_scope.cancel()
    real = list(read_journal(tmp_path).records())
    events = [each for each in real if isinstance(each, Entry)]
    assert shapes(events) <= shapes(troubled.entries)
    assert until_connected(events) == until_connected(after_a_frozen_peer(troubled))


def shapes(entries: list[Entry]) -> set[tuple[str, frozenset[str]]]:
    """Kinds of records with the names of their fields; evidence depends on what the transport knows."""
    return {(each.event, frozenset(each.fields) - {"evidence"}) for each in entries if each.event != "session"}


def after_a_frozen_peer(told: Told) -> list[Entry]:
    """From the first miss of an outage on, which is the kind that is noticed by silence and over before the retry."""
    for loss in told.truth.losses:
        if loss.blame == "PEER_SILENT":
            entries = [each for each in told.entries if each.endpoint == loss.endpoint and told.at(each) > loss.begun_at]
            if "connect_timeout" not in {each.fields.get("cause") for each in entries[:20]}:
                return entries
    raise AssertionError("no such outage")


def until_connected(entries: list[Entry]) -> list[str]:
    """Events from the first miss on, the statistics apart."""
    names = [each.event for each in entries if each.event not in ("statistics", "subscribed")]
    names = names[names.index("pong_missed") :]
    return names[: names.index("connected") + 1]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"days": 0}, "days = 0"),
        ({"days": 1, "endpoints": ()}, "endpoints"),
        ({"days": 1, "endpoints": (A, A)}, "endpoints"),
        ({"days": 1, "start": "yesterday"}, "start = 'yesterday'"),
        ({"days": 1, "heartbeat": HeartbeatPolicy(schedule="inbound_idle")}, "schedule"),
        ({"days": 1, "heartbeat": HeartbeatPolicy(adaptive=True)}, "adaptive"),
        ({"days": 1, "client_restarts": (2.0,)}, "client_restarts"),
        ({"days": 1, "client_restarts": (math.nan,)}, "client_restarts"),
        ({"days": 1, "planted": (Drift(per_day=0.1, endpoint=B),)}, "Drift.endpoint"),
        ({"days": 1, "planted": (HourlySlowdown(hours=(1,), zone="Moon/Crater"),)}, "Moon/Crater"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, arguments: dict[str, Any], what: str) -> None:
    """With the name and the value, before anything is written."""
    with pytest.raises(ConfigError, match=what):
        make_up_journal(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "make",
    [
        lambda: HourlySlowdown(hours=(24,)),
        lambda: WeekdaySlowdown(weekday=7),
        lambda: Step(at_day=1, factor=0),
        lambda: Outages(causes=()),
        lambda: Outages(at=((0.5, -50.0),)),
        lambda: Outages(at=((math.nan, 10.0),)),
        lambda: Outages(venue_wide=True, endpoint=A),
        lambda: Law(phi=1),
        lambda: MissRate(rate=2),
        lambda: IdleKill(after=0),
        lambda: PeriodicDisconnect(period=1),
        lambda: LocalStalls(per_day=1, blocks=0),
        lambda: SlowEndpoint(endpoint=A, factor=-1),
    ],
)
def test_plants_are_checked(make: Any) -> None:
    """When they are built."""
    with pytest.raises(ConfigError):
        make()


def test_an_outage_after_the_end_is_none(tmp_path: Path) -> None:
    """Of two, only the one within the journal happens, and is told."""
    truth = make_up_journal(tmp_path, days=0.1, planted=(Outages(at=((0.05, 30.0), (100.0, 30.0)), causes=("reset",)),))
    assert [truth.begun_at + 0.05 * 86_400] == [outage.begun_at for outage in truth.outages]


def test_a_real_journal_is_left_alone(tmp_path: Path) -> None:
    """Made-up records never mix with others."""
    (tmp_path / "2026-01-01.1-abc.0001.jsonl").write_text("")
    with pytest.raises(ConfigError, match="holds a journal"):
        make_up_journal(tmp_path, days=1)


def test_the_kit_needs_no_numpy() -> None:
    """Only making up a journal does."""
    code = "import sys, heartbeat_trio.testing as t; t.Law(); print('numpy' in sys.modules)"
    assert "False" == subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
