"""`heartbeat-trio balance` and its library on real sockets: a killed server, an exact table, and the exit codes."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import stat
import subprocess
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import trio

from heartbeat_trio import (
    BalancerPolicy,
    EndpointChanged,
    EndpointState,
    Order,
    OrderAmbiguous,
    OrderRecord,
    OrderState,
    SqliteOrderBook,
    Switched,
    open_balancer,
)
from heartbeat_trio.server.order_book import FENCED
from tests.test_command_line import COMMAND, run
from tests.test_recovery import Line, Process, running, running_server, url_of

QUICK = ("--ping-interval", "0.5", "--pong-timeout", "0.4", "--output", "json")


def start(stack: ExitStack, book: Path) -> tuple[Process, Line]:
    return stack.enter_context(running_server("--order-book", str(book)))


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["tcp", "ws", "ws#engine=trio-websocket"])
def test_a_killed_server_costs_no_order_and_no_time(tmp_path: Path, kind: str) -> None:
    """SIGKILL under a stream of orders: the next one leaves on the backup within 5 ms of the verdict; none is doubled.

    Orders are counted each time; the time is that of the best of three, as the machine may be busy.
    """
    times: list[float] = []
    while len(times) < 3 and not any(seconds < 0.005 for seconds in times):
        book = tmp_path / f"book{len(times)}"
        with ExitStack() as stack:
            servers = [start(stack, book) for _ in range(2)]
            urls = {url_of(kind, listening): server for server, listening in servers}
            times.append(trio.run(send_and_kill, urls, book))

    assert min(times) < 0.005


async def send_and_kill(urls: dict[str, Process], path: Path) -> float:
    """Seconds from the verdict to the first order on the backup."""
    killed_at, settled = 0.0, list[OrderRecord]()
    with trio.fail_after(8):
        async with open_balancer(list(urls)) as balancer, balancer.events() as channel, trio.open_nursery() as nursery:

            async def send(number: int) -> None:
                try:
                    settled.append(await balancer.send_order(Order(str(number), "BTCUSD", "buy", 1.0)))
                except OrderAmbiguous:
                    settled.append(await balancer.resolve(str(number)))

            while len(urls) != sum(each.pongs > 0 for each in balancer.endpoints()):
                await trio.sleep(0.01)
            best = str(balancer.best)
            for number in range(600):
                nursery.start_soon(send, number)
                await trio.sleep(0.001)
                if number == 300:
                    next(server for url, server in urls.items() if url.startswith(best)).popen.kill()
                    killed_at = trio.current_time()
    events = channel.take_nowait()
    downs = [each for each in events if isinstance(each, EndpointChanged) and each.new is EndpointState.DOWN]
    switch = next(event for event in events if isinstance(event, Switched) and event.old is not None)
    first = min((each for each in settled if each.endpoint != best), key=lambda each: each.sent_at or 0)
    assert first.sent_at is not None
    assert (best, best, "lost", downs[0].at) == (downs[0].endpoint, switch.old, switch.reason, switch.at)
    assert switch.at - killed_at < 0.5
    assert 600 == len(settled) == len(balancer.orders())
    with SqliteOrderBook(path) as book:
        assert 0 == book.count().doubled
        assert book.acknowledged() == {each.order.id for each in settled if each.state is OrderState.ACKNOWLEDGED}
    return first.sent_at - max(switch.at, first.created_at)


def test_the_command_tells_what_became_of_each(tmp_path: Path) -> None:
    """One server is killed: events, a summary that adds up, exit code 0; and the book is for its owner's eyes only."""
    book = tmp_path / "book"
    with ExitStack() as stack:
        servers = {url_of("tcp", listening): server for server, listening in (start(stack, book), start(stack, book))}
        options = ["--orders-per-second", "100", "--duration", "2", "--order-book", str(book), *QUICK]
        client = stack.enter_context(running("balance", *servers, *options))
        best = client.wait_for("switched")["new"]
        for _ in range(100):
            client.wait_for("order", to="acknowledged")
        servers.pop(best).popen.kill()
        switched = client.wait_for("switched", old=best)
        assert switched["new"] in servers
        summary = client.wait_for("summary")
        assert 0 == client.popen.wait(timeout=5)
        assert 0o600 == stat.S_IMODE(book.stat().st_mode)
    assert summary["orders"] == summary["acknowledged"] + summary["rejected"] > 150
    nothing = ("ambiguous", "pending", "contradicted", "doubled", "lost", "held_back")
    assert [0] * 6 == [summary[name] for name in nothing]
    assert summary["failovers"] >= 1
    assert summary["failover_maximum_ms"] < 50
    told = [line for line in client.events("order") if line["to"] == "ambiguous"]
    assert summary["was_ambiguous"] == len(told)
    assert sum(each["share"] for each in summary["endpoints"]) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_stopped_server_and_a_backup_with_a_file_of_its_own(tmp_path: Path, is_shared: bool) -> None:
    """SIGSTOP, an order into its socket, SIGCONT: executed, and never told rejected; with one file it is fenced at both."""
    paths = [tmp_path / "book", tmp_path / ("book" if is_shared else "other")]
    with ExitStack() as stack:
        started = [start(stack, path) for path in paths]
        servers = {
            url_of("tcp", listening): (server, path) for (server, listening), path in zip(started, paths, strict=True)
        }
        state = trio.run(send_to_a_stopped_server, servers)
        executed = {path: SqliteOrderBook(path).acknowledged() for path in paths}
    assert state is (OrderState.REJECTED if is_shared else OrderState.ACKNOWLEDGED)
    assert is_shared != any("late" in orders for orders in executed.values())


async def send_to_a_stopped_server(servers: dict[str, tuple[Process, Path]]) -> OrderState:
    """What is known in the end of an order that its server gets when it wakes up, after the backup was asked about it."""
    late = Order("late", "BTCUSD", "buy", 1.0)
    with trio.fail_after(8):
        async with open_balancer(list(servers), policy=BalancerPolicy(answer_timeout=0.5)) as balancer:
            while any(each.state is EndpointState.DOWN for each in balancer.endpoints()):
                await trio.sleep(0.01)
            first = await balancer.send_order(Order("first", "BTCUSD", "buy", 1.0))
            best = first.endpoint
            assert best is not None
            stopped, path = servers[best]
            stopped.popen.send_signal(signal.SIGSTOP)
            with pytest.raises(OrderAmbiguous, match=f"no answer came from {best} within 0.5 s"):
                await balancer.send_order(late)
            try:
                settled = await balancer.resolve("late")
            except OrderAmbiguous as error:
                [other] = servers.keys() - {best}
                assert f"{other} was asked, and has another order book than {best} had" in str(error)
            else:
                assert (OrderState.REJECTED, FENCED) == (settled.state, settled.reason)
            finally:
                stopped.popen.send_signal(signal.SIGCONT)
            while not copies_of("late", path) or (record := balancer.order("late")) is None or not record.settled_at:
                await trio.sleep(0.01)
            return record.state


def copies_of(order_id: str, path: Path) -> int:
    """How often an order came, by a server's book; a fence is no copy."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as file:
        [[copies]] = file.execute("SELECT COALESCE(SUM(copies), 0) FROM orders WHERE id = ?", (order_id,))
    return int(copies)


def test_the_table_for_people() -> None:
    """Servers without books say so: no order is acknowledged, and that is exit code 1."""
    with running_server() as (_server, listening):
        done = run("balance", f"tcp://{listening['tcp']}", "--orders-per-second", "20", "--duration", "0.5")
    assert (1, "") == (done.returncode, done.stderr)
    assert "is rejected, at tcp://" in done.stdout
    rows = dict(re.findall(r"^([a-z ]+?)  +([a-z0-9 .]+)$", done.stdout, re.MULTILINE))
    assert ("0", rows["orders"], "not known") == (rows["acknowledged"], rows["rejected"], rows["lost"])


def test_giving_up_on_all() -> None:
    """Exit code 3, with the last one's reasons."""
    with running_server() as (server, listening):
        server.popen.kill()
        server.popen.wait()
        urls = [f"tcp://{listening['tcp']}", listening["ws"]]
        done = run("balance", *urls, "--max-attempts", "1", "--output", "json")
    assert 3 == done.returncode
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert ["gave_up", "summary"] == [line["event"] for line in lines]
    assert "connect_refused" in lines[0]["detail"]


def test_an_interrupt_ends_in_good_order(tmp_path: Path) -> None:
    """The summary still comes."""
    with ExitStack() as stack:
        _server, listening = start(stack, tmp_path / "book")
        client = stack.enter_context(running("balance", url_of("tcp", listening), "--orders-per-second", "50", *QUICK))
        client.wait_for("order")
        assert 0 == client.end(signal.SIGINT)
        assert 1 == len(client.events("summary"))


def test_a_reader_that_goes_away_ends_it(tmp_path: Path) -> None:
    """`| head -1` has seen enough: no more orders are sent, and nothing is complained about."""
    with ExitStack() as stack:
        _server, listening = start(stack, tmp_path / "book")
        command = [*COMMAND, "balance", url_of("tcp", listening), "--orders-per-second", "50", "--output", "json"]
        balancer = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        stack.callback(balancer.kill)
        assert balancer.stdout is not None
        assert balancer.stderr is not None
        for line in balancer.stdout:
            if '"acknowledged"' in line:
                break
        balancer.stdout.close()
        assert ("", 0) == (balancer.stderr.read(), balancer.wait(timeout=8))


def test_a_book_that_vanishes_costs_only_its_counts(tmp_path: Path) -> None:
    """The table still comes, with "not known" where the book is asked, and a word about it."""
    book = SqliteOrderBook(tmp_path / "book")
    with book, ExitStack() as stack:
        trio.run(book.prepare)
        _server, listening = stack.enter_context(running_server())
        command = ("balance", url_of("tcp", listening), "--order-book", str(tmp_path / "book"), *QUICK)
        client = stack.enter_context(running(*command))
        client.wait_for("order")
        for path in tmp_path.iterdir():
            path.unlink()
        assert 1 == client.end(signal.SIGINT)
        [summary] = client.events("summary")
        assert (None, None) == (summary["doubled"], summary["lost"])


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("balance", "name at least one endpoint"),
        ("balance tcp://x:1 tcp://x:1", "each once"),
        ("balance tcp://x:1 ws://x/#dialect=okx-v5", "endpoint ws://x:80/: OKX v5 takes no orders"),
        ("balance tcp://x:1 --orders-per-second 0", "--orders-per-second 0"),
        ("balance tcp://x:1 --orders-per-second nan", "--orders-per-second nan"),
        ("balance tcp://x:1 --symbol a^b", "a^b"),
        ("balance tcp://x:1 --order-book /does/not/exist", "/does/not/exist"),
        ("balance tcp://x:1 --order-book /", "--order-book / is no order book"),
        (f"balance tcp://x:1 --order-book {__file__}", "is no order book: file is not a database"),
        ("balance tcp://x:1 --duration -1", "--duration -1.0 must be at least 0 seconds"),
        ("balance tcp://x:1 --duration nan", "--duration nan"),
        ("watch tcp://x:1 --duration -1", "--duration -1.0"),
        ("watch tcp://x:1 --duration nan", "--duration nan"),
        ("serve --tcp 127.0.0.1:0 --ws none --duration -1", "--duration -1.0"),
        ("balance tcp://x:1 --min-gain 2", "min_gain = 2"),
        ("balance http://x", "'http://x'"),
        ("serve --tcp 127.0.0.1:0 --ws none --order-book /does/not/exist", "/does/not/exist"),
    ],
)
def test_bad_words_are_usage_errors(arguments: str, names: str) -> None:
    """Exit 2, the value and the remedy on standard error, nothing on standard output."""
    done = run(*arguments.split())
    assert (2, "") == (done.returncode, done.stdout)
    assert names in done.stderr
    assert "Traceback" not in done.stderr


def test_help_explains_every_option() -> None:
    """And the exit codes."""
    text = run("balance", "--help").stdout
    assert "Exit codes" in text
    words = "orders-per-second symbol order-book window min-gain confirmations dwell max-switches probes ejection"
    assert [] == [option for option in words.split() if f"--{option}" not in text]
    assert "--order-book" in run("serve", "--help").stdout
