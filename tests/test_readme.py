"""The README is true: its programs run, its options exist, its map is the tree."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.server import MemoryOrderBook, QuoteServer, SyntheticSource, serve_quotes

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
[EMBEDDED, ORDERS, BOT_TEST] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


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
    """On the two servers that it names, wherever they listen."""
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


async def test_the_bots_test_passes(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """A dozen lines for a frozen server."""
    names: dict[str, Any] = {}
    exec(compile(BOT_TEST, "README.md", "exec"), names)  # noqa: S102
    start = trio.current_time()
    await names["test_my_bot_survives_a_frozen_server"](autojump_clock, nursery)
    assert 13 <= trio.current_time() - start <= 30  # found dead, and back again
    nursery.cancel_scope.cancel()


def test_every_file_it_names_exists() -> None:
    """Tests, scripts and modules."""
    for name in re.findall(r"`((?:tests|scripts)/[\w/]+(?:\.py)?)`", README):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"^\| `(\w+)/` \|", README, re.MULTILINE):
        assert (ROOT / "heartbeat_trio" / name).is_dir(), name
