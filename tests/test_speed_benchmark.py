"""The benchmark of speed cannot rot: each part runs at a tiny size, and each library that is installed does all its work."""

from __future__ import annotations

import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.benchmarks import fanout, idle
from tests.benchmarks.speed import PARTS, as_json, measure
from tests.support.fanout_servers import Job
from tests.support.speed.child import finish, run, start
from tests.support.speed.figures import Spread, Table, machine, ratio
from tests.support.speed.parts.common import OURS, PEERS, Scale
from tests.support.speed.server import SIZE, frame, frames

pytestmark = pytest.mark.alone

TINY = Scale(rounds=1, work=0.01, peers=frozenset())
APART = ("fan-out", "idle")
"""Benchmarks of their own, which are run below."""


def test_every_part_tells_of_us() -> None:
    """Each part's table has a row of ours with figures in it, and the whole is one JSON document."""
    parts = [part for part in PARTS if part not in APART]
    with ThreadPoolExecutor(len(parts)) as pool:  # most of them wait
        done = list(pool.map(lambda part: measure([part], TINY, lambda _line: None), parts))
    tables = [table for made, _ in done for table in made]

    told = json.loads(as_json(machine(), tables, {}))
    names = {table["name"] for table in told["tables"]}
    assert names >= {"ingest_typed", "ingest_bytes", "rtt_under_load", "round_trip_1", "memory", "detection", "torture"}
    for table in tables:
        text = table.markdown()
        assert OURS in text
        assert not any(word in text for word in ("failed", "hung", "not measured", "not noticed")), text


def test_every_peer_does_its_work() -> None:
    """Ingest, round trip, memory and loss, one process for each peer; one that is not installed says so."""
    peers = {name: module for name, module in PEERS.items() if name != OURS}
    begun = {name: start("child:measure_all", {"calls": calls_of(module)}, 20) for name, module in peers.items()}

    for name, running in begun.items():
        outcomes = finish(running).value
        problems = {problem for _, problem in outcomes}
        assert problems in ({None}, {"not installed"}), (name, problems)
        assert problems != {None} or len(outcomes[-1][0]) == 2, name


def calls_of(module: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{module}:ingest", {"count": 1000, "typed": True}),
        (f"{module}:ingest", {"count": 1000, "typed": False}),
        (f"{module}:round_trip", {"count": 50, "in_flight": 4}),
        (f"{module}:scenario", {"what": "memory", "connections": 2}),
        (f"{module}:scenario", {"what": "detect", "how": "kill", "lines": 2, "limit": 2, "warm": 0.1}),
    ]


def test_fan_out_in_small() -> None:
    """Each server that is installed sends all that it has to, ours beside one that stalls too, and the tables say so."""
    job = Job(clients=3, symbols=2, ticks=10, interval=0.002)
    with ThreadPoolExecutor(len(fanout.PEERS) + 2) as pool:
        stalling = pool.submit(fanout.measure_stall, 3, 1)
        stepping = pool.submit(fanout.measure_step, 3, 2, 60, 1)
        rows = [row for made in pool.map(lambda peer: fanout.measure([peer], job, 1), fanout.PEERS) for row in made]
        stall, step = stalling.result(), stepping.result()

    missing = {row.peer for row in rows if row.times is None}
    assert missing == {peer for peer in fanout.PEERS if not is_installed(peer.split(".")[0].split(",")[0])}
    assert all(min(row.times) > 0 for row in rows if row.times)
    assert (0 <= stall.missed < 1, stall.alone > 0, stall.beside > 0, step.longest > 0) == (True,) * 4
    text, told = fanout.as_text(rows, stall, [step]), json.loads(fanout.as_json(rows, stall, [step]))
    assert [row["peer"] for row in told["cost"]] == fanout.PEERS
    assert all(f" | {peer} | " in text for peer in fanout.PEERS)


def test_quiet_connections_in_small(capsys: pytest.CaptureFixture[str]) -> None:
    """Each kind that is installed is pinged and answered, and the table has a row of each."""
    figures = [idle.Figures(kind, 0.2) for kind in ("bare", "ours", "session")]
    figures += [idle.Figures(kind, 0.2) for kind, module in idle.PEERS.items() if is_installed(module)]
    with idle.serving() as port, ThreadPoolExecutor(len(figures)) as pool:
        list(pool.map(lambda each: idle.measure(each, port, 3, 1), figures))

    assert all(cost > 0 for each in figures for cost in each.costs)
    assert {1} == {len(samples) for each in figures for samples in (each.costs, each.memory)}
    idle.show(figures, 3)
    rows = capsys.readouterr().out
    assert all(f"| {kind} | " in rows for kind in ("bare", "ours", "session", *idle.PEERS))


def is_installed(peer: str) -> bool:
    """Ours is, and so is what it needs."""
    return peer in (fanout.OURS, "bare send") or importlib.util.find_spec(peer.replace("-", "_")) is not None


def test_what_hangs_is_cut_off() -> None:
    """A measurement past its limit is a result: it hung."""
    outcome = run("peers.ours:scenario", {"what": "slow_consumer", "lines": 1, "limit": 30.0}, limit=0.5)

    assert outcome.problem == "hung"


def test_tables_put_medians_with_their_spread() -> None:
    """The middle, the least and the most, and ratios of medians."""
    ours, theirs = Spread((1.0, 3.0, 2.0)), Spread((8.0,))
    table = Table(
        "t", "Times", ("library", "ratio", "s"), [("a", ratio(ours, theirs), ours), ("b", ratio(ours, "hung"), "hung")]
    )

    assert ratio(ours, theirs) == 4.0
    assert "| a | 4.00 | 2.00 (1.00..3.00) |\n| b |  | hung |" in table.markdown()
    assert table.json()["rows"][0]["s"] == {"median": 2.0, "min": 1.0, "max": 3.0, "values": [1.0, 3.0, 2.0]}


def test_the_server_reads_masked_frames() -> None:
    """Whole frames are taken, what is unfinished stays, and a control frame's payload is unmasked."""
    masked = bytes((0x89, 0x82)) + b"abcd" + bytes((ord("h") ^ ord("a"), ord("i") ^ ord("b")))
    data = bytearray(masked + masked[:5])

    assert [(9, b"hi")] == [tuple(each) for each in frames(data)]
    assert masked[:5] == bytes(data)
    assert len(frame(b"x" * SIZE)) == SIZE + 4
