"""The command line: bad words are told in one line, good ones work end to end, and nothing heavy is imported early."""

from __future__ import annotations

import io
import json
import queue
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import trio
import trustme
from rich.console import Console

from heartbeat_trio.cli import serve
from heartbeat_trio.endpoint import Endpoint
from heartbeat_trio.events import ConnectionState, SessionStatus
from heartbeat_trio.journal import read_journal
from heartbeat_trio.observe.live import Row, draw, sparkline
from heartbeat_trio.observe.output import Output
from heartbeat_trio.observe.recording import open_recording
from heartbeat_trio.observe.text import printable
from heartbeat_trio.protocol.venue_records import ALIASES, venue_names
from heartbeat_trio.sansio.quality import ConnectionQuality
from heartbeat_trio.server.recorded import HEADER, RECORDED
from heartbeat_trio.testing import ExchangeSimulator, make_up_journal
from heartbeat_trio.transports.evidence import listen_tcp
from tests.test_recovery import QUICK, running, running_server

COMMAND = [sys.executable, "-m", "heartbeat_trio"]
SCRIPTS = Path(__file__).parent.parent / "scripts"


def run(*arguments: str, timeout: float = 10) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=timeout, check=False)


def test_importing_the_library_is_light() -> None:
    """Neither the command line's libraries nor the terminal's."""
    code = "import heartbeat_trio, sys; print(sorted({'cyclopts', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("watch", "name at least one endpoint"),
        ("watch http://x", "'http://x'"),
        ("watch tcp://x", "port"),
        ("watch tcp://x:1 --ping-interval 0", "ping_interval = 0"),
        ("watch tcp://x:1 --ping-interval nan", "ping_interval = nan"),
        ("watch tcp://x:1 --ping-interval soon", "soon"),
        ("watch tcp://x:1 --max-attempts -1", "max_attempts = -1"),
        ("watch tcp://x:1 --jitter some", "some"),
        ("watch tcp://x:1 --stats-every 0", "--stats-every"),
        ("watch tcp://x:1 --backoff-maximum 0.5", "maximum = 0.5"),
        ("watch tcp://x:1 --token-file /does/not/exist", "/does/not/exist"),
        ("watch tcps://x:1 --tls-ca /does/not/exist", "/does/not/exist"),
        ("watch tcp://x:1 --record /does/not/exist", "/does/not/exist"),
        ("watch tcp://x:1 --journal /dev/null", "--journal '/dev/null' must be a folder that can be made"),
        ("watch tcp://x:1 --journal /dev/null/below", "--journal '/dev/null/below' must be a folder that can be made"),
        ("watch tcp://x:1 --journal=", "--journal '' must be a folder"),
        ("watch tcp://a..b:1", "no usable host"),
        ("watch tcp://x:1 --subscribe a^b --duration 1", "a^b"),
        ("serve --tcp 1", "'1'"),
        ("serve --tcp 127.0.0.1:99999", "99999"),
        ("serve --tcp none --ws none", "nothing to serve"),
        ("serve --tls-cert x", "belong together"),
        ("serve --replay x", "belong together"),
        ("serve --replay /does/not/exist --venue binance --tcp 127.0.0.1:0 --ws none", "/does/not/exist"),
        ("serve --rate 0", "rate = 0"),
        ("serve --symbols a^b", "a^b"),
        ("serve --symbols ,", "symbols"),
        ("dance", "dance"),
    ],
)
def test_bad_words_are_usage_errors(arguments: str, names: str) -> None:
    """Exit 2, the value and the remedy on standard error, no traceback, nothing on standard output."""
    done = run(*arguments.split())

    assert done.returncode == 2, done.stderr
    assert names in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_taken_port_is_one_line() -> None:
    """Exit 1, and the address."""
    with running_server() as (_server, listening):
        done = run("serve", "--tcp", listening["tcp"], "--ws", "none")
    assert done.returncode == 1
    assert f"cannot listen on {listening['tcp']}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("script", ["quote_server.py", "quote_client.py"])
def test_help_of_the_scripts(script: str) -> None:
    """Every option is explained, and the exit codes."""
    text = subprocess.run([sys.executable, SCRIPTS / script, "--help"], capture_output=True, text=True, check=True).stdout
    assert "Exit codes" in text
    options = {
        "quote_server.py": "tcp ws symbols rate seed replay venue speed loop idle-timeout max-clients outbound allow-origin "
        "token-file tls-cert tls-key duration output",
        "quote_client.py": "subscribe ping-interval pong-timeout max-missed liveness connect-timeout max-attempts "
        "backoff-initial backoff-maximum jitter stable-after stats-every record token-file tls-ca seed duration output",
    }[script]
    assert [] == [option for option in options.split() if f"--{option}" not in text]


FIELDS = {
    "connecting": {"attempt"},
    "connected": set(),
    "subscribed": {"symbol"},
    "quote": {"symbol", "bid", "ask", "seq", "stream", "ts"},
    "pong": {"ping", "rtt_ms", "exact", "network_ms", "peer_ms", "local_ms", "blame"},
    "state": {"from", "to", "missed_pongs"},
    "statistics": {"sent", "answered", "late", "missed", "voided", "cancelled", "in_flight", "unknown_pongs"}
    | {"success_rate", "avg_ms", "p50_ms", "p95_ms", "p99_ms", "min_ms", "max_ms", "suitable", "reasons"}
    | {"n", "inexact", "local_p50_ms", "local_p99_ms", "local_max_ms", "local_n"},
    "closed": set(),
}


def test_json_lines_have_the_promised_fields() -> None:
    """One JSON object a line, with the event, the time in UTC, and the endpoint."""
    with running_server() as (_server, listening):
        urls = [f"tcp://{listening['tcp']}", listening["ws"]]
        done = run(
            "watch",
            *urls,
            "--subscribe",
            "BTCUSD,ETHUSD",
            *QUICK,
            "--duration",
            "1.5",
            "--output",
            "json",
            "--stats-every",
            "1",
        )
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert set(FIELDS) == {line["event"] for line in lines}
    for line in lines:
        assert FIELDS[line["event"]] == set(line) - {"event", "at", "endpoint"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["at"])
        assert line["endpoint"] in urls
    for url in urls:
        mine = [line["event"] for line in lines if line["endpoint"] == url]
        assert (mine[0], mine[-2:]) == ("connecting", ["statistics", "closed"])


def test_without_symbols_it_only_pings() -> None:
    """Like ping(8)."""
    with running_server() as (_server, listening):
        done = run(
            "watch", f"tcp://{listening['tcp']}", "--ping-interval", "0.1", "--duration", "0.8", "--pong-timeout", "0.1"
        )
    assert done.returncode == 0
    assert "pong after" in done.stdout
    assert "BTCUSD" not in done.stdout
    assert "📊 Connection Statistics:" in done.stdout


def test_tls_and_tokens_end_to_end(tmp_path: Path) -> None:
    """Both protocols, verified with the CA file, with the token; without it nobody gets in."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    files = {name: str(tmp_path / name) for name in ("cert", "key", "ca", "token")}
    certificate.cert_chain_pems[0].write_to_path(files["cert"])
    certificate.private_key_pem.write_to_path(files["key"])
    authority.cert_pem.write_to_path(files["ca"])
    Path(files["token"]).write_text("secret\n")
    Path(files["token"]).chmod(0o600)
    options = ["--tls-cert", files["cert"], "--tls-key", files["key"], "--token-file", files["token"]]
    with running_server(*options) as (_server, listening):
        assert listening["ws"].startswith("wss://")
        urls = [f"tcps://{listening['tcp']}", listening["ws"], listening["ws"] + "#engine=trio-websocket"]
        common = ["--tls-ca", files["ca"], "--duration", "1", "--output", "json"]
        done = run("watch", *urls, *common, "--token-file", files["token"], "--subscribe", "BTCUSD")
        assert {line["endpoint"] for line in map(json.loads, done.stdout.splitlines()) if line["event"] == "quote"} == {
            urls[0],
            urls[1],
        }
        assert done.returncode == 0
        refused = run("watch", listening["ws"], *common, "--max-attempts", "1")
        assert refused.returncode == 3
        assert "401" in refused.stdout
        untrusted = run("watch", listening["ws"], "--max-attempts", "1", "--output", "json")
        assert untrusted.returncode == 3
        assert '"cause":"tls"' in untrusted.stdout


def test_second_interrupt_ends_at_once() -> None:
    """Even if the server is frozen and the goodbye waits."""
    with (
        running_server() as (server, listening),
        running("watch", f"tcp://{listening['tcp']}", "--output", "json") as client,
    ):
        client.wait_for("pong")
        server.popen.send_signal(signal.SIGSTOP)
        client.popen.send_signal(signal.SIGINT)
        time.sleep(0.05)
        begin = time.monotonic()
        client.popen.send_signal(signal.SIGINT)
        client.popen.communicate(timeout=5)
        assert time.monotonic() - begin < 1.5
        server.popen.send_signal(signal.SIGCONT)


def test_second_interrupt_does_not_wait_for_an_alert(tmp_path: Path) -> None:
    """The first leaves alerts on their way two seconds; the second kills the program that delivers one.

    The journal is written all the same, with the rule, and without the command.
    """
    options = ("--max-attempts", "0", "--alert", "lost=command:sleep 60", "--journal", str(tmp_path / "journal"))
    with running("watch", "tcp://127.0.0.1:1", "--output", "json", *options) as client:
        client.wait_for("alert")
        client.popen.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert client.popen.poll() is None
        begin = time.monotonic()
        client.popen.send_signal(signal.SIGINT)
        client.popen.communicate(timeout=5)
        assert time.monotonic() - begin < 1.0
    entries = list(read_journal(tmp_path / "journal").entries())
    session = [entry.fields["configuration"] for entry in entries if entry.event == "session"][-1]
    assert (["lost"], 1) == (session["alerts"], len(session["gates"]))
    assert "alert_failed" in [entry.event for entry in entries]
    assert "sleep" not in str(entries)


@pytest.mark.parametrize("output", ["json", "text"])
def test_a_closed_pipe_ends_the_watching(output: str) -> None:
    """`| head -1` ends the reader of our output: so we are done as well, in good order."""
    with running_server() as (_server, listening):
        command = [*COMMAND, "watch", f"tcp://{listening['tcp']}", "--subscribe", "BTCUSD", "--output", output]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            client.stdout.readline()
            client.stdout.close()
            assert client.stderr is not None
            said = client.stderr.read()
            assert client.wait(timeout=8) == 0
    assert said == ""


def test_a_full_disk_is_told_once() -> None:
    """The watching goes on without its output."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with running_server() as (_server, listening), Path("/dev/full").open("w") as full:
        command = [*COMMAND, "watch", f"tcp://{listening['tcp']}", *QUICK, "--duration", "1", "--output", "json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=10, check=False)
    assert (0, "warning: nothing more is shown: No space left on device\n") == (done.returncode, done.stderr)


@pytest.mark.parametrize("command", [("dialects",), ("journal",), ("analyze",), ("analyze", "--schema")])
def test_what_cannot_be_shown_is_a_failure(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Of commands that end by themselves: one line, and exit code 1."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    if command in {("journal",), ("analyze",)}:
        make_up_journal(tmp_path, days=0.01, endpoints=("ws://a.example/",), seed=1)
        command = (*command, str(tmp_path))
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, *command], stdout=full, stderr=subprocess.PIPE, text=True, timeout=20, check=False)

    assert 1 == done.returncode
    assert done.stderr.endswith("No space left on device\n")
    assert "Traceback" not in done.stderr


class Stuck:
    """A terminal that takes one line and then none."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        self.lines.append(text)
        self.release.wait(5)

    def flush(self) -> None:
        pass


def test_a_stuck_terminal_delays_nobody() -> None:
    """`put` never waits; what does not fit is counted; the end waits a second at most."""
    stuck = Stuck()
    begin = time.monotonic()
    with Output(stuck, capacity=10) as output:
        for number in range(1000):
            output.put(str(number))
        assert time.monotonic() - begin < 0.5
    assert time.monotonic() - begin < 2
    assert output.dropped >= 989
    stuck.release.set()


def test_a_broken_sink_falls_silent() -> None:
    """A full disk, or a reader that has gone."""

    class Broken(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    with Output(Broken()) as output:
        output.put("one")
        deadline = time.monotonic() + 5
        while not output.is_broken and time.monotonic() < deadline:
            time.sleep(0.01)
        output.put("two")
    assert output.is_broken


def test_the_help_names_every_venue() -> None:
    """Nobody has to guess what --venue takes."""
    words = set(re.findall(r"[\w-]+", serve.__doc__ or ""))
    assert {*ALIASES, *venue_names()} <= words


def test_recording_is_private_and_can_be_replayed(tmp_path: Path) -> None:
    """Mode 0600, the format of `ReplaySource`, one line a message whatever it holds."""
    path = tmp_path / "recording"
    with open_recording(path, "ws://host:1/") as record:
        record(b'{"u":1,"s":"BTCUSDT","b":"1","a":"2"}')
        record(b"two\nlines")
    header, *lines = path.read_text().splitlines()
    assert HEADER.match(header)
    assert len(lines) == 2
    assert all(RECORDED.fullmatch(line) for line in lines)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_full_disk_ends_the_recording_only(caplog: pytest.LogCaptureFixture) -> None:
    """A clear warning, and nothing raised."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    with open_recording(full, "ws://host:1/") as record:
        for _ in range(10):
            record(b"message")
            time.sleep(0.01)
    assert "/dev/full ended early" in caplog.text


def test_what_a_peer_says_cannot_move_the_cursor() -> None:
    """Control characters are escaped, and nothing fills the screen."""
    assert printable("\x1b[2Jboo\n\u202e") == "\\x1b[2Jboo\\n\\u202e"
    assert len(printable("x" * 10**6)) < 3000


class Fake:
    """What the live view asks of a session."""

    def __init__(self, status: SessionStatus, state: ConnectionState, *, is_suspect: bool = False) -> None:
        self.endpoint = Endpoint.parse("ws://127.0.0.1:8765/")
        self.status, self.state = status, state
        self.rtt, self.missed_pongs, self.attempt, self.is_suspect = 0.0123, 2, 7, is_suspect
        self._quality = ConnectionQuality(pong_timeout=3)
        for _ in range(5):
            self._quality.record_ping(0)
            self._quality.record_pong(0.0123, 0)

    def quality(self) -> object:
        return self._quality.snapshot(0)

    def is_suitable_for_trading(self) -> object:
        return self._quality.is_suitable_for_trading(0, is_connected=True, has_subscriptions=True)


@pytest.mark.parametrize(
    ("status", "state", "is_suspect", "shown"),
    [
        (SessionStatus.CONNECTED, ConnectionState.CONNECTED, False, "CONNECTED"),
        (SessionStatus.CONNECTED, ConnectionState.CONNECTED, True, "SUSPECT"),
        (SessionStatus.CONNECTED, ConnectionState.DEGRADED, True, "DEGRADED 2"),
        (SessionStatus.RECONNECTING, ConnectionState.DISCONNECTED, False, "RETRY #7"),
        (SessionStatus.CONNECTING, ConnectionState.DISCONNECTED, False, "CONNECTING"),
    ],
)
def test_the_live_view_fits_a_terminal(status: SessionStatus, state: ConnectionState, is_suspect: bool, shown: str) -> None:
    """Everything that matters, in 80 columns."""
    row = Row(Fake(status, state, is_suspect=is_suspect))  # type: ignore[arg-type]
    row.rtts.extend([0.01, 0.02, 0.03])
    row.quotes = 30
    row.measure(2.0)
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(draw([row], ["12:00:00 something happened"]))
    text = console.export_text()
    for part in (
        "ws://127.0.0.1:8765/",
        shown,
        "12.3",
        "12.3 12.3 12.3",
        "▁▅█",
        "100.0%",
        "15",
        "warming up",
        "something happened",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80


def test_sparkline() -> None:
    """From the smallest to the largest; flat where nothing varies."""
    assert sparkline([]) == ""
    assert sparkline([5, 5]) == "▁▁"
    assert sparkline([0, 1, 7]) == "▁▂█"


def test_dialects(tmp_path: Path) -> None:
    """All of them as a table, one with its sources, both as JSON, one's own from a file; unknown names are usage."""
    table = run("dialects").stdout.splitlines()
    assert table[0].split()[:3] == ["dialect", "who", "pings"]
    [okx] = [line for line in table if line.startswith("okx-v5")]
    assert re.split(r"  +", okx) == ["okx-v5", "client", "text", "idle 20 s", "30 s"]
    page = run("dialects", "htx-spot").stdout
    for fact in ('{"ping":$unix_ms} answered by {"pong":$unix_ms}', "dead after 18 s", "verified: yes", "source: https://"):
        assert fact in page
    assert json.loads(run("dialects", "okx-v5", "--output", "json").stdout)["probe"]["ping"] == "ping"
    assert len(json.loads(run("dialects", "--output", "json").stdout)) == len(table) - 1
    file = tmp_path / "mine.toml"
    file.write_text('[mine]\ntitle = "Mine\\u001b[31m"\nprobe = { level = "control" }\n')
    mine = run("dialects", "mine", "--file", str(file)).stdout
    assert "Mine\\x1b[31m" in mine
    done = run("watch", "ws://127.0.0.1:1/#dialect=mine", "--dialects", str(file), "--max-attempts", "1")
    assert done.returncode == 3
    for arguments, names in [
        (["dialects", "nope"], "choose one of ops"),
        (["watch", "ws://127.0.0.1:1/#dialect=mine"], "dialect='mine' must be one of"),
        (["watch", "ws://x/#dialect=binance-spot", "--ping-interval", "0.1"], "at least 0.4 s would do"),
    ]:
        done = run(*arguments)
        assert done.returncode == 2
        assert names in done.stderr


def test_the_dialects_are_not_read_at_import() -> None:
    """Nor when lines are spoken; a first WebSocket endpoint reads them."""
    code = (
        "import heartbeat_trio as h; from heartbeat_trio.dialects import builtin_dialects as b; "
        "h.Endpoint.parse('tcp://x:1'); print(b.cache_info().currsize); "
        "h.Endpoint.parse('ws://x/'); print(b.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1"]


def test_watching_an_exchange_that_has_no_ping() -> None:
    """It was connected to, and that is success; its pings were answered, and what it says is told."""
    ports: queue.Queue[int] = queue.Queue()
    stop = threading.Event()
    answered: list[int] = []

    async def exchange() -> None:
        [listener] = await listen_tcp("127.0.0.1", 0)
        simulator = ExchangeSimulator("deribit", listener)
        async with trio.open_nursery() as nursery:
            await nursery.start(simulator.run)
            ports.put(listener.port)
            while not stop.is_set():
                answered.extend(connection.mirror.answered for connection in simulator.live)
                await trio.sleep(0.02)
            nursery.cancel_scope.cancel()

    thread = threading.Thread(target=trio.run, args=(exchange,))
    thread.start()
    try:
        url = f"ws://127.0.0.1:{ports.get(timeout=5)}/#dialect=deribit&beat_interval=0.2"
        done = run("watch", url, "--subscribe", "BTC-PERPETUAL", "--duration", "1.5", "--output", "json")
    finally:
        stop.set()
        thread.join(5)
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert (0, "") == (done.returncode, done.stderr)
    # The first pong may come before it.
    assert ["connecting", "connected", "subscribed"] == [event for event in events if event != "pong"][:3]
    assert {"pong_missed", "lost", "beat_missed"}.isdisjoint(events)
    assert max(answered) >= 3


def test_messages_carry_no_control_characters(tmp_path: Path) -> None:
    """A file's name, and what stands in a file, cannot paint the terminal."""
    path = tmp_path / "mine.toml"
    path.write_text('["a\\u001b[31m"]\ntitle = "t"\n')
    for file in (str(path), "a\x1b[31m"):
        done = run("dialects", "--file", file)
        assert 2 == done.returncode
        assert "a\\x1b[31m: " in done.stderr
        assert "\x1b" not in done.stderr


@pytest.mark.parametrize("closed", ["1", "2", "1 2"])
def test_closed_streams_are_no_traceback(tmp_path: Path, closed: str) -> None:
    """Whoever closed standard output or standard error wants to hear nothing there, nor on the other one."""
    redirections = " ".join(f"{number}>&-" for number in closed.split())
    script = f'exec "$@" {redirections}'
    (tmp_path / "2026-11-24.w.0001.jsonl").write_text(
        '{"event":"gap","at":"2026-11-24T10:00:00.000000Z","t":1.0,"session":"w-1"}\ntorn\n'
    )
    done = subprocess.run(
        ["sh", "-c", script, "sh", *COMMAND, "journal", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert done.returncode == 0
    assert ("1 issues" in done.stdout) is ("1" not in closed)
    assert "Traceback" not in done.stderr
    assert "torn" not in done.stdout
    watched = subprocess.run(
        ["sh", "-c", script, "sh", *COMMAND, "watch", "tcp://127.0.0.1:1", "--max-attempts", "1", "--alert", "lost=log"],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert (3, False) == (watched.returncode, "Traceback" in watched.stderr)


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    """As with ``| head -1``; Python's own words at the end are no help to anybody."""
    with subprocess.Popen(
        [*COMMAND, "dialects"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as done:
        assert done.stdout is not None
        assert done.stderr is not None
        done.stdout.close()
        assert ("", 0) == (done.stderr.read(), done.wait(timeout=8))
