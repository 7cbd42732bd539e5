"""The README is true: its programs run, its options exist, its map is the tree."""

from __future__ import annotations

import re
from functools import partial
from itertools import pairwise
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.exceptions import GateClosed
from heartbeat_trio.server import MemoryOrderBook, QuoteServer, SyntheticSource, serve_quotes
from heartbeat_trio.session import open_session
from heartbeat_trio.testing import ScriptedPeer, VirtualNetwork
from tests.test_architecture import LAYERS, PACKAGE

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EMBEDDED, TRADING, ORDERS, REDUNDANT, FLEET, BOT_TEST = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


async def test_the_embedded_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """At most 15 lines, and it prints quotes once the line has proven itself."""
    assert len(EMBEDDED.strip().splitlines()) <= 15
    async with trio.open_nursery() as nursery:
        source = SyntheticSource(["BTCUSD"], rate=100)
        server: QuoteServer = await nursery.start(partial(serve_quotes, source, ws="127.0.0.1:0"))
        program = EMBEDDED.replace("ws://127.0.0.1:8765/", server.addresses["ws"]).replace("trio.run(main)", "")
        # The program warms up for 20 pings: at 5 s each, too long for a test.
        program = program.replace('"BTCUSD"]', '"BTCUSD"], heartbeat=HeartbeatPolicy(ping_interval=0.05, pong_timeout=0.04)')
        names: dict[str, Any] = {}
        exec(compile("from heartbeat_trio import HeartbeatPolicy\n" + program, "README.md", "exec"), names)  # noqa: S102
        with trio.move_on_after(2):
            await names["main"]()
        nursery.cancel_scope.cancel()

    assert capsys.readouterr().out.startswith("BTCUSD ")


async def test_the_program_with_orders_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Under 15 lines, on the two servers that it names, wherever they listen."""
    assert len(ORDERS.strip().splitlines()) < 15
    book = MemoryOrderBook(is_shared=True)
    async with trio.open_nursery() as nursery:
        program = ORDERS.replace("trio.run(main)", "")
        for port in ("8080", "8081"):
            serve = partial(serve_quotes, SyntheticSource(["BTCUSD"]), tcp="127.0.0.1:0", orders=book)
            server: QuoteServer = await nursery.start(serve)
            program = program.replace(f"127.0.0.1:{port}", server.addresses["tcp"])
        names: dict[str, Any] = {}
        exec(compile(program, "README.md", "exec"), names)  # noqa: S102
        with trio.fail_after(4):
            await names["main"]()
        nursery.cancel_scope.cancel()

    assert capsys.readouterr().out.startswith("OrderState.ACKNOWLEDGED  tcp://127.0.0.1:")


@pytest.mark.parametrize(("program", "starts"), [(REDUNDANT, {"BTCUSD"}), (FLEET, {"lines", "frames"})])
async def test_the_programs_with_many_connections_run(
    program: str, starts: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Under 15 lines, over the two protocols of one server; every line of output begins as it should."""
    assert len(program.strip().splitlines()) < 15
    async with trio.open_nursery() as nursery:
        source = SyntheticSource(["BTCUSD"], rate=50)
        server: QuoteServer = await nursery.start(partial(serve_quotes, source, tcp="127.0.0.1:0", ws="127.0.0.1:0"))
        program = program.replace("127.0.0.1:8080", server.addresses["tcp"]).replace(
            "ws://127.0.0.1:8765/", server.addresses["ws"]
        )
        names: dict[str, Any] = {}
        exec(compile(program.replace("trio.run(main)", ""), "README.md", "exec"), names)  # noqa: S102
        with trio.move_on_after(1):
            await names["main"]()
        nursery.cancel_scope.cancel()

    assert starts == {line.split()[0] for line in capsys.readouterr().out.splitlines()}


async def test_the_bots_test_passes(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """A dozen lines for a frozen server."""
    names: dict[str, Any] = {}
    exec(compile(BOT_TEST, "README.md", "exec"), names)  # noqa: S102
    start = trio.current_time()
    await names["test_my_bot_survives_a_frozen_server"](autojump_clock, nursery)
    # Found dead, and back again. Frozen in the first interval, which is random: half of it, one more, and a timeout.
    assert 2.5 + 5 + 3 <= trio.current_time() - start <= 30
    nursery.cancel_scope.cancel()


async def test_trading_stops_when_the_gate_closes(autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]) -> None:
    """The loop trades once the gate opens, and is stopped by a loss."""
    traded = 0

    async def trade(_session: object) -> None:
        nonlocal traded
        traded += 1
        net.host("exchange").freeze()
        await trio.sleep_forever()

    net = VirtualNetwork(latency=0.01)
    names: dict[str, Any] = {"GateClosed": GateClosed, "trade": trade}
    exec(compile("async def loop(session):\n" + indent(TRADING, "    "), "README.md", "exec"), names)  # noqa: S102
    async with trio.open_nursery() as nursery:
        await nursery.start(ScriptedPeer(net.listen("exchange", 9000)).run)
        async with open_session("tcp://exchange:9000", connector=net.connect) as session:
            with trio.move_on_after(150):  # 20 pings to warm up, 5 s of dwell, and until the loss
                await names["loop"](session)
        nursery.cancel_scope.cancel()

    assert 1 == traded
    assert capsys.readouterr().out.startswith("the trading gate is closed: ")


def test_every_file_it_names_exists() -> None:
    """Tests and scripts."""
    for name in re.findall(r"`((?:tests|scripts)/[\w/]+(?:\.py)?)`", README):
        assert (ROOT / name).exists(), name


def test_the_map_has_every_module_in_its_place() -> None:
    """All of the layers, from the bottom up; and what it names within a folder is there."""
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", README.partition("## The map")[2], re.MULTILINE)
    places = [[LAYERS.index(name) for name in re.findall(r"`(\w+)(?:\.py|/)`", where)] for where, _ in rows]

    assert [*range(len(LAYERS) - 1)] == sorted(place for row in places for place in row)  # all but __main__
    assert all(max(row) < min(following) for row, following in pairwise(places))
    for where, what in rows:
        folder = PACKAGE / where.strip("`/")
        for name in re.findall(r"`([\w*.]+)/?`", what) if folder.is_dir() else ():
            assert [*folder.glob(name)] or [*folder.glob(f"{name}.py")], f"{where} {name}"
