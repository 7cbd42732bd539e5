"""Every way out: what it gets, how it fails, and that nothing secret is told."""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import MockClock

from heartbeat_trio.events import Alert
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.observe.sinks import CommandSink, Sink, SinkError, WebhookSink, parse_sink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALERT = Alert(at=1.0, rule="lost", text="connection lost (reset)")
RECOVERY = Alert(at=2.0, rule="lost", text="connected again", is_recovery=True)
SECRET = "s3cret"


class Answers(BaseHTTPRequestHandler):
    """Answers by path, and keeps what was posted."""

    def do_POST(self) -> None:
        site = self.server
        assert isinstance(site, Site)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        site.posted.append((self.path, self.headers["Content-Type"], json.loads(body)))
        if "hang" in self.path:
            site.release.wait(5)
            return
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Location", f"/200/{SECRET}")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


class Site(ThreadingHTTPServer):
    """A tiny web server in a thread."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.posted: list[tuple[str, str, Any]] = []
        self.release = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}/{SECRET}"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


def script(folder: Path, body: str) -> str:
    """A program of our own; returns its path."""
    path = folder / "program"
    path.write_text(f"#!{sys.executable}\nimport json, os, sys, time, pathlib\n{body}\n")
    path.chmod(0o700)
    return str(path)


async def failure_of(sink: Sink) -> str:
    """The one error of a delivery, with nothing secret in all of its traceback."""
    with trio.fail_after(5), pytest.raises(SinkError) as caught:
        await sink.deliver("tcp://host:1", ALERT)
    assert caught.value.__context__ is None
    assert SECRET not in "".join(traceback.format_exception_only(caught.value))
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", r"alert sink \(not shown\): that is none; a sink looks like log, command:/path"),
        ("log:x", "alert sink log: that is none"),
        ("webhook", "alert sink webhook: that is none"),
        ("https://host/s3cret", r"alert sink \(not shown\): that is none"),
        ("command:", "alert sink command: the program is missing; a sink looks like"),
        ("command:s3cret 'open", "alert sink command: no closing quotation"),
        ("command:/no/such/s3cret", "alert sink command: there is no such program, or it may not be executed"),
        ("webhook:ftp://host/s3cret", "alert sink webhook: the address must begin with http://host or https://host"),
        ("webhook:http:///s3cret", "the address must begin with http"),
        ("webhook:http://host:99999/s3cret", "the address is no URL"),
        ("webhook:http://host/s3cret\n", "printable ASCII without spaces"),
        ("webhook:http://me:s3cret@host/", "user info in the address is not supported"),
    ],
)
def test_what_is_no_sink(text: str, problem: str) -> None:
    """The message names the part at fault, has an example, and nothing secret."""
    with pytest.raises(ConfigError, match=problem) as caught:
        parse_sink(text)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("kind", ["log", "command", "webhook"])
def test_only_the_kind_is_shown(kind: str) -> None:
    """Whatever is printed by accident is harmless."""
    sink = parse_sink({"log": "log", "command": "command:/bin/sh -c s3cret", "webhook": "webhook:http://host/s3cret"}[kind])

    assert (kind, f"<{kind} sink>", f"<{kind} sink>") == (sink.kind, repr(sink), str(sink))


async def test_log(caplog: pytest.LogCaptureFixture) -> None:
    """A warning, and another when it is over: programs that show no more than warnings must show both."""
    caplog.set_level(logging.WARNING)
    sink = parse_sink("log")

    await sink.deliver("tcp://host:1", ALERT)
    await sink.deliver("tcp://host:1", RECOVERY)

    assert [
        ("heartbeat_trio.alerts", logging.WARNING, "tcp://host:1: connection lost (reset) (lost)"),
        ("heartbeat_trio.alerts", logging.WARNING, "tcp://host:1: connected again (lost)"),
    ] == caplog.record_tuples


async def test_command_gets_everything_literally(tmp_path: Path) -> None:
    """No shell ever sees it; the alert is on standard input and in the environment."""
    out = tmp_path / "out"
    program = script(
        tmp_path,
        "seen = [sys.argv[2:], json.load(sys.stdin), {k: v for k, v in os.environ.items() if k.startswith('HEARTBEAT_')}]\n"
        "pathlib.Path(sys.argv[1]).write_text(json.dumps(seen))",
    )
    sink = parse_sink(f"command:{program} {out} 'two words' '$(touch {tmp_path}/x)' ';' --flag")

    with trio.fail_after(5):
        await sink.deliver("tcp://host:1", RECOVERY)

    arguments, given, environment = json.loads(out.read_text())
    assert ["two words", f"$(touch {tmp_path}/x)", ";", "--flag"] == arguments
    assert {"rule": "lost", "endpoint": "tcp://host:1", "text": "connected again", "recovery": True} == given
    assert {
        "HEARTBEAT_RULE": "lost",
        "HEARTBEAT_ENDPOINT": "tcp://host:1",
        "HEARTBEAT_TEXT": "connected again",
        "HEARTBEAT_RECOVERY": "1",
    } == environment
    assert not (tmp_path / "x").exists()


async def test_command_that_fails(tmp_path: Path) -> None:
    """By its exit status, which is all that is told."""
    assert "command: exit status 3" == await failure_of(CommandSink([script(tmp_path, "sys.exit(3)"), SECRET]))


async def test_command_that_vanished(tmp_path: Path) -> None:
    """Without its name."""
    assert "command: No such file or directory" == await failure_of(CommandSink([str(tmp_path / SECRET)]))


async def test_command_that_hangs_is_killed(tmp_path: Path) -> None:
    """With its children, and although it ignores polite requests."""
    pids = tmp_path / "pids"
    program = script(
        tmp_path,
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nchild = os.fork()\n"
        "if child: pathlib.Path(sys.argv[1]).write_text(f'{os.getpid()} {child}')\ntime.sleep(60)",
    )

    assert "command: not delivered within 1 s" == await failure_of(CommandSink([program, str(pids)], timeout=1.0))

    with trio.fail_after(2):  # noqa: ASYNC912 - there are two of them
        for pid in pids.read_text().split():
            await until_gone(int(pid))


async def until_gone(pid: int) -> None:
    await trio.lowlevel.checkpoint()
    while is_alive(pid):  # noqa: ASYNC110 - the kernel tells nobody
        await trio.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Running, rather than gone or waiting for its parent to notice."""
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 - the kernel's own file
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_webhook_posts_json(site: Site) -> None:
    """To exactly the address given."""
    with trio.fail_after(5):
        await parse_sink(f"webhook:{site.url('204')}").deliver("ws://host:1/", ALERT)

    body = {"rule": "lost", "endpoint": "ws://host:1/", "text": "connection lost (reset)", "recovery": False}
    assert [(f"/204/{SECRET}", "application/json", body)] == site.posted


@pytest.mark.parametrize("status", [301, 302, 307, 401, 404, 500])
async def test_webhook_that_refuses(site: Site, status: int) -> None:
    """Redirects are refused too: nothing goes to an address that nobody gave."""
    assert f"webhook: HTTP status {status}" == await failure_of(WebhookSink(site.url(str(status))))
    assert 1 == len(site.posted)


async def test_webhook_that_hangs(site: Site) -> None:
    """It is given up at the timeout, however many hang."""
    sink = WebhookSink(site.url("hang"), timeout=0.2)
    started = trio.current_time()

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(failure_of, sink)

    assert trio.current_time() - started < 2


async def test_hanging_webhooks_leave_others_their_threads(site: Site) -> None:
    """Neither other sinks nor the rest of the program run out of them."""
    hanging = WebhookSink(site.url("hang"), timeout=1.0)
    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(failure_of, hanging)
        await trio.testing.wait_all_tasks_blocked()
        assert 0 == trio.to_thread.current_default_thread_limiter().borrowed_tokens
        with trio.fail_after(0.9):
            await WebhookSink(site.url("200")).deliver("tcp://host:1", ALERT)


async def test_webhook_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words of the system."""
    monkeypatch.setenv("no_proxy", "*")
    with Site() as closed:
        url = closed.url("200")

    assert "webhook: Connection refused" == await failure_of(WebhookSink(url))


async def test_webhook_that_speaks_no_http(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error's own words may quote what came; only its type is told."""
    monkeypatch.setenv("no_proxy", "*")

    async def talk(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"s3cret\r\n\r\n")
        with suppress(trio.BrokenResourceError):
            await stream.receive_some()

    listeners = await nursery.start(trio.serve_tcp, talk, 0)
    port = listeners[0].socket.getsockname()[1]

    assert "webhook: BadStatusLine" == await failure_of(WebhookSink(f"http://127.0.0.1:{port}/"))
    assert "webhook: TLS: " in await failure_of(WebhookSink(f"https://127.0.0.1:{port}/"))
    nursery.cancel_scope.cancel()


def test_apprise_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the message says what to install."""
    monkeypatch.setitem(sys.modules, "apprise", None)

    with pytest.raises(ConfigError, match=r"pip install 'heartbeat-trio\[alerts\]'") as caught:
        parse_sink("apprise:ntfy://s3cret")
    assert SECRET not in str(caught.value)


class FakeApprise:
    """Takes addresses that begin with ``good`` and ``bad``; only the good ones work."""

    sent: list[tuple[str, str, bool]]

    def __init__(self) -> None:
        self.address = ""

    def add(self, address: str) -> bool:
        self.address = address
        return address.startswith(("good", "bad"))

    def notify(self, *, title: str, body: str) -> bool:
        self.sent.append((title, body, threading.current_thread() is threading.main_thread()))
        return self.address.startswith("good")


@pytest.fixture
def apprise(monkeypatch: pytest.MonkeyPatch) -> type[FakeApprise]:
    FakeApprise.sent = []
    monkeypatch.setitem(sys.modules, "apprise", SimpleNamespace(Apprise=FakeApprise))
    return FakeApprise


async def test_apprise_notifies_in_a_thread(apprise: type[FakeApprise]) -> None:
    """A title and the text; its False is a failure."""
    await parse_sink("apprise:good://s3cret").deliver("tcp://host:1", ALERT)
    await parse_sink("apprise:good://s3cret").deliver("tcp://host:1", RECOVERY)

    assert [
        ("heartbeat-trio: tcp://host:1 needs a look", "connection lost (reset)", False),
        ("heartbeat-trio: tcp://host:1 has recovered", "connected again", False),
    ] == apprise.sent
    assert "apprise: apprise did not deliver it" == await failure_of(parse_sink("apprise:bad://s3cret"))


@pytest.mark.parametrize("address", ["", "nonsense://s3cret"])
def test_apprise_does_not_know_the_address(apprise: type[FakeApprise], address: str) -> None:
    """It says so at the start."""
    with pytest.raises(ConfigError, match="apprise does not understand the address; for example") as caught:
        parse_sink(f"apprise:{address}")
    assert SECRET not in str(caught.value)


class OwnSink(Sink):
    """Somebody else's, with an error that says too much."""

    kind = "own"

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(timeout=3.0)
        self.error = error

    async def send(self, endpoint: str, alert: Alert) -> None:
        if self.error is None:
            await trio.sleep_forever()
        else:
            raise self.error


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ValueError("s3cret"), "own: ValueError"),
        (OSError("s3cret"), "own: OSError"),
        (ExceptionGroup("s3cret", [KeyError("s3cret")]), "own: KeyError"),
        (SinkError("in words of its own"), "own: in words of its own"),
    ],
)
async def test_errors_of_others_are_not_quoted(error: Exception, shown: str) -> None:
    """Their type has to do."""
    assert shown == await failure_of(OwnSink(error))


async def test_any_sink_has_a_timeout(autojump_clock: MockClock) -> None:
    """Nobody has to think of it."""
    with pytest.raises(SinkError, match=r"own: not delivered within 3 s"):
        await OwnSink().deliver("tcp://host:1", ALERT)
    assert 3.0 == trio.current_time()
