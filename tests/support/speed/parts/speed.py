"""The parts that measure work: ingest, round trips, round trips under load, memory."""

from __future__ import annotations

from ..figures import Table, Tell, ratio
from .common import OURS, PEERS, Scale, cell, functions, in_turns

SESSION = f"{OURS}, session"
TCP = "bare Trio TCP"


def ingest(scale: Scale, tell: Tell) -> list[Table]:
    """Receiving quotes, as bytes and as typed quotes: CPU per message."""
    # No fewer than trio-websocket takes in a second; the fast ones take ten times as many, so that they run as long.
    slow, fast = scale.number(40_000, 2_000), scale.number(300_000, 4_000)
    counts = {name: slow if name.startswith(("websockets", "trio")) else fast for name in [*PEERS, SESSION]}
    tables = []
    for typed in (True, False):
        targets = scale.chosen(functions("ingest") | ({SESSION: "peers.ours:ingest_session"} if typed else {}))
        calls = {name: (each, {"count": counts[name], "typed": typed}) for name, each in targets.items()}
        what = "typed quotes" if typed else "bytes"
        outcomes = in_turns(tell, f"ingest, {what}", calls, rounds=scale.rounds, limit=30)
        cells = {name: (cell(each, "cpu"), cell(each, "wall")) for name, each in outcomes.items()}
        table = Table(
            f"ingest_{'typed' if typed else 'bytes'}",
            f"Ingest: CPU of the receiving process per quote of 108 bytes, {what}, in µs",
            ("library", "times ours", "CPU µs", "wall µs"),
            note="All decode into the same msgspec struct; ours checks the fields as well, and a session the order too."
            if typed
            else f"{OURS} has no public way to get bytes: this is its WebSocket layer on a bare Trio stream.",
        )
        ours = cells[OURS][0]
        table.rows = [(name, ratio(ours, cpu), cpu, wall) for name, (cpu, wall) in cells.items()]
        tables.append(table)
    return tables


def round_trip(scale: Scale, tell: Tell) -> list[Table]:
    """256 bytes there and 256 back, with 1 and with 64 on the way."""
    tables = []
    for in_flight in (1, 64):
        count = scale.number(4_000 if in_flight == 1 else 16_000, 200)
        targets = {TCP: "peers.trio_tcp:round_trip"} | scale.chosen(functions("round_trip"))
        calls = {name: (each, {"count": count, "in_flight": in_flight}) for name, each in targets.items()}
        outcomes = in_turns(tell, f"round trip, {in_flight} on the way", calls, rounds=scale.rounds, limit=30)
        cells = {name: (cell(each, "cpu"), cell(each, "wall")) for name, each in outcomes.items()}
        floor, floor_wall = cells[TCP]
        table = Table(
            f"round_trip_{in_flight}",
            f"Round trip of 256 bytes with {in_flight} on the way, µs per answer",
            ("library", "CPU, times bare TCP", "time, times bare TCP", "CPU µs", "wall µs"),
            [(name, ratio(floor, cpu), ratio(floor_wall, wall), cpu, wall) for name, (cpu, wall) in cells.items()],
            digits=2,
            note=f"Each answer is followed by one send. {OURS} asks what became of an order, encodes and decodes it (JSON); "
            "the others send bytes and look at none.",
        )
        tables.append(table)
    return tables


def rtt_under_load(scale: Scale, tell: Tell) -> list[Table]:
    """Our pings while quotes come: as fast as we take them, at a steady rate, and not at all."""
    rates = {"idle": 0.0, "100 000 quotes/s": 100_000.0, "as fast as they are taken": -1.0}
    seconds = scale.seconds(3.0, 0.4)
    calls = {name: ("peers.ours:rtt_under_load", {"seconds": seconds, "rate": rate}) for name, rate in rates.items()}
    outcomes = in_turns(tell, "round-trip times under load", calls, rounds=scale.rounds, limit=seconds + 20)
    keys = ("p50", "p99", "quotes")
    table = Table(
        "rtt_under_load",
        f"Round-trip times that {OURS} reports while it receives, ms",
        ("load", "p50 ms", "p99 ms", "quotes/s"),
        [(name, *(cell(each, key) for key in keys)) for name, each in outcomes.items()],
        note="A ping every 10 ms. The peer keeps little in its own send buffer (16 KB asked for), as what waits there for "
        "us to read delays the pong as well.",
    )
    return [table]


def memory(scale: Scale, tell: Tell) -> list[Table]:
    """What one more idle connection takes."""
    connections = scale.number(200, 10)
    arguments = {"what": "memory", "connections": connections}
    calls = {name: (each, arguments) for name, each in scale.chosen(functions("scenario")).items()}
    outcomes = in_turns(tell, "memory", calls, rounds=scale.rounds, limit=40)
    cells = {name: cell(each) for name, each in outcomes.items()}
    table = Table(
        "memory",
        f"Resident memory per idle client connection with its keepalive, {connections} in one process, KiB",
        ("library", "times ours", "KiB"),
        [(name, ratio(cells[OURS], each), each) for name, each in cells.items()],
        digits=1,
    )
    return [table]
