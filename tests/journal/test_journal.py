"""The journal on disk: what is written is read back, and neither kills nor disks hurt the program."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import stat
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from random import Random

import pytest
import trio

from heartbeat_trio._broadcast import EventChannel
from heartbeat_trio.config import BackoffPolicy, GatePolicy, HeartbeatPolicy
from heartbeat_trio.events import (
    Cause,
    Closed,
    Connected,
    ConnectionState,
    Event,
    Evidence,
    Lost,
    PingRecord,
    PongMissed,
    StateChanged,
)
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.journal import Entry, Journal, JournalPolicy, PingEntry, open_journal, read_journal
from heartbeat_trio.journal.files import JournalFile
from heartbeat_trio.session import open_session
from heartbeat_trio.testing import ScriptedPeer, VirtualNetwork
from tests.support.journal_child import nothing
from tests.support.kills import kill_many

FAST = JournalPolicy(flush_interval=0.02)
EVIDENCE = Evidence(age=3.0, timeout=3.0, unacknowledged=2, backoff=3)
PING = PingRecord(
    ping=7, at=100.5, sent_after=0.00001, fate="answered", rtt=0.0005, is_exact=True, first_in=0.001, last_in=4
)


def journal_lines(folder: Path) -> list[bytes]:
    return b"".join(path.read_bytes() for path in files_of(folder)).splitlines()


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def add_strangers(folder: Path) -> None:
    """A newer version's records, a torn last line, and a compressed file of old."""
    [path] = files_of(folder)
    with path.open("ab") as file:
        file.write(b'["q","something new"]\n{"event":"journal","at":"2026-11-24T00:00:00Z","t":1,"schema":9,"more":[]}\n')
        file.write(b'["p","x",1,')
    with gzip.open(folder / "2020-01-01.old.0001.jsonl.gz", "wb") as old:
        old.write(b'{"event":"lost","at":"2020-01-01T00:00:00.000000Z","t":1.0,"cause":"reset"}\n')


async def wait_for(kind: type[Event], events: EventChannel) -> None:
    async for event in events:
        if isinstance(event, kind):
            return


async def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Events with blame and evidence, pings with all their parts, the session's policies, and its last statistics."""
    async with open_journal(tmp_path / "journal") as journal:
        session = journal.start_session("ws://host/", {"heartbeat": {"ping_interval": 5.0}}, nothing)
        session.record_event(2, PongMissed(at=100.0, ping=8, missed=1, blame=Cause.PATH_DEAD, evidence=EVIDENCE))
        session.record_ping(2, PING)
        session.record_ping(2, PingRecord(ping=8, at=105.5, sent_after=None, fate="missed", blame=Cause.WRITER_BLOCKED))
        session.close()
    reader = read_journal(tmp_path / "journal")
    records = list(reader.records())
    entries = [record for record in records if isinstance(record, Entry)]
    pings = [record for record in records if isinstance(record, PingEntry)]

    assert ["journal", "session", "pong_missed", "statistics"] == [entry.event for entry in entries]
    assert entries[0].fields["schema"] == 1
    assert {"heartbeat": {"ping_interval": 5.0}} == entries[1].fields["configuration"]
    assert ("PATH_DEAD", 100.0, "ws://host/") == (entries[2].blame, entries[2].t, entries[2].endpoint)
    assert (2, 8) == (entries[2].connection, entries[2].fields["ping"]) == (pings[1].connection, pings[1].ping)
    assert {"age": 3.0, "timeout": 3.0, "unacknowledged": 2, "backoff": 3} == entries[2].fields["evidence"]
    name = entries[1].session
    assert name is not None
    assert PingEntry(name, 2, 7, 100.5, 0.00001, "answered", 0.0005, True, 0.001, 4.0) == pings[0]
    assert PingEntry(name, 2, 8, 105.5, None, "missed", blame="WRITER_BLOCKED") == pings[1]
    assert (0, 0, 1) == (reader.torn, reader.unknown, reader.newest_schema)


async def test_a_session_says_how_it_is_run_and_its_misses_lead_to_their_pings(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """By the numbers of connection and ping; what is known late of the configuration joins what was known at first."""
    net = VirtualNetwork()
    peer = ScriptedPeer(net.listen("server", 1))
    await nursery.start(peer.run)
    with trio.fail_after(4):
        async with (
            open_journal(tmp_path, policy=FAST) as journal,
            open_session(
                "tcp://server:1",
                subscribe=["A"],
                heartbeat=HeartbeatPolicy(ping_interval=0.1, pong_timeout=0.05, max_missed_pongs=2),
                backoff=BackoffPolicy(initial=0.02, maximum=0.05),
                journal=journal,
                connector=net.connect,
                rng=Random(1),
            ) as session,
            session.events() as events,
        ):
            await wait_for(Connected, events)
            net.host("server").freeze()
            await wait_for(Lost, events)
            net.host("server").thaw()
            await wait_for(Connected, events)
            net.host("server").freeze()
            session.gate(GatePolicy(open_after=1.0))
            session.note(alerts=["lost"])
            await wait_for(Lost, events)
    nursery.cancel_scope.cancel()
    entries = list(read_journal(tmp_path).entries())
    told = [entry.fields["configuration"] for entry in entries if entry.event == "session"]
    misses = {(entry.connection, entry.fields["ping"]) for entry in entries if entry.event == "pong_missed"}
    pings = {
        (record.connection, record.ping)
        for record in read_journal(tmp_path).records()
        if isinstance(record, PingEntry) and record.fate == "missed"
    }

    policies = {"heartbeat", "backoff", "restart", "inbox", "silence"}
    assert policies | {"subscriptions", "dialect", "engine"} == set(told[0])
    assert (["A"], "lines", "native") == tuple(told[0][name] for name in ("subscriptions", "dialect", "engine"))
    assert 0.05 == told[0]["heartbeat"]["pong_timeout"]
    assert told[0] | {"gates": [asdict(GatePolicy(open_after=1.0))], "alerts": ["lost"]} == told[-1]
    assert {1, 2} == {connection for connection, _ in misses}
    assert pings == misses
    assert [0, 1, 1, 1, 2, 2] == [
        entry.connection for entry in entries if entry.event in ("connecting", "connected", "lost")
    ][:6]


async def test_what_json_cannot_hold_is_refused_at_once(tmp_path: Path) -> None:
    """Where it is handed in, and not in the thread that writes."""
    async with open_journal(tmp_path) as journal:
        session = journal.start_session("ws://host/", {}, nothing)
        with pytest.raises(TypeError):
            session.configure({"sink": object()})


async def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """Files are 0600 in a folder of 0700."""
    async with open_journal(tmp_path / "journal") as journal:
        journal.start_session("ws://host/", {}, nothing)
    [path] = files_of(tmp_path / "journal")

    assert (0o700, 0o600) == (stat.S_IMODE(path.parent.stat().st_mode), stat.S_IMODE(path.stat().st_mode))


async def test_an_issue_is_written_at_once_and_the_rest_soon(tmp_path: Path) -> None:
    """A loss does not wait for the next flush, a second after the beginning; a state change does."""
    with trio.fail_after(5):
        async with open_journal(tmp_path, policy=JournalPolicy(flush_interval=1)) as journal:
            session = journal.start_session("ws://host/", {}, nothing)
            session.record_event(
                1, StateChanged(at=1.0, old=ConnectionState.CONNECTED, new=ConnectionState.DEGRADED, missed_pongs=1)
            )
            await trio.sleep(0.1)
            assert not files_of(tmp_path)
            session.record_event(1, Lost(at=2.0, cause="reset", detail="gone"))
            with trio.fail_after(0.7):
                while not files_of(tmp_path):
                    await trio.sleep(0.005)


async def test_it_rotates_by_size_and_every_file_stands_for_itself(tmp_path: Path) -> None:
    """No file is larger than allowed, and each begins with its head and the sessions."""
    policy = JournalPolicy(max_bytes=4096, flush_interval=0.01)
    async with open_journal(tmp_path, policy=policy) as journal:
        session = journal.start_session("ws://host/", {}, nothing)
        await trio.sleep(0.1)  # long enough for the session's own record to be on disk
        for number in range(300):
            session.record_ping(1, PingRecord(ping=number, at=float(number), sent_after=0.0, fate="answered", rtt=0.001))
    files = files_of(tmp_path)
    reader = read_journal(tmp_path)

    assert len(files) > 3
    assert max(path.stat().st_size for path in files) <= 4096
    assert all(b'"event":"journal"' in path.read_bytes().splitlines()[0] for path in files)
    assert all(b'"event":"session"' in path.read_bytes().splitlines()[1] for path in files)
    assert [record.ping for record in reader.records() if isinstance(record, PingEntry)] == list(range(300))


def test_a_new_day_begins_a_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day is UTC's; the number begins anew."""
    days = iter(["2026-11-24", "2026-11-24", "2026-11-25"])
    monkeypatch.setattr("heartbeat_trio.journal.files.time.strftime", lambda *_: next(days))
    file = JournalFile(tmp_path, "w", max_bytes=4096, make_head=lambda: b"head\n")
    for line in (b"one\n", b"two\n", b"three\n"):
        file.append(line)
    file.close()

    assert {
        "2026-11-24.w.0001.jsonl": b"head\none\ntwo\n",
        "2026-11-25.w.0001.jsonl": b"head\nthree\n",
    } == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


async def test_many_writers_share_a_folder(tmp_path: Path) -> None:
    """Each has files of its own; a reader gets the entries of all in the order of time."""
    async with open_journal(tmp_path) as one, open_journal(tmp_path) as other:
        sessions = [journal.start_session(f"ws://{name}/", {}, nothing) for journal, name in ((one, "a"), (other, "b"))]
        for number in range(6):
            sessions[number % 2].record_event(1, Lost(at=trio.current_time() + number, cause="reset", detail=str(number)))
    entries = read_journal(tmp_path).entries()

    assert [str(number) for number in range(6)] == [entry.fields["detail"] for entry in entries if entry.event == "lost"]


async def test_torn_lines_and_strange_records_are_skipped_and_counted(tmp_path: Path) -> None:
    """A killed writer's last line, a newer version's records, compressed files."""
    async with open_journal(tmp_path) as journal:
        journal.start_session("ws://host/", {}, nothing).record_ping(1, PING)
    add_strangers(tmp_path)
    reader = read_journal(tmp_path)
    events = [record.event for record in reader.records() if isinstance(record, Entry)]

    assert ["lost", "journal", "session", "journal"] == events
    assert (1, 1, 9) == (reader.torn, reader.unknown, reader.newest_schema)
    assert [] == [entry for entry in reader.entries(since="2026-01-01T00:00:00Z") if entry.event == "lost"]


@pytest.mark.parametrize("since", ["2026-11-24T10:00:03", "2026-11-24T12:00:03+02:00", "2026-11-24T10:00:03.000000Z"])
def test_since_some_instant(tmp_path: Path, since: str) -> None:
    """Pings have no time of day: the entry before them in their file tells it, also when the clock was set."""
    lines = [
        '{"event":"journal","at":"2026-11-24T10:00:00.000000Z","t":100,"schema":1}',
        '["p","w-1",1,1,102900000,0,"a"]',  # 10:00:02.9
        '{"event":"lost","at":"2026-11-24T10:00:03.000000Z","t":103,"cause":"reset"}',
        '["p","w-1",1,2,102999000,0,"a"]',
        '["p","w-1",1,3,103000000,0,"a"]',
        '{"event":"clock_jump","at":"2026-11-24T09:00:04.000000Z","t":104}',
        '["p","w-1",1,4,104000000,0,"a"]',  # 9:00:04
        '{"event":"lost","at":"soon","t":1e300}',
        '["p","w-1",1,5,3703000000,0,"a"]',  # 10:00:03
    ]
    (tmp_path / "2026-11-24.w.0001.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "2026-11-23.w.0001.jsonl").write_text('["p","w-1",1,9,0,0,"a"]\n')
    reader = read_journal(tmp_path)

    told = [record.ping if isinstance(record, PingEntry) else record.at[:13] for record in reader.records(since=since)]
    assert ["2026-11-24T10", 3, "soon", 5] == told
    assert ["2026-11-24T10", "soon"] == [entry.at[:13] for entry in reader.entries(since=since)]
    assert 9 == len(list(reader.records(since="2026-11-24T09:00:04")))
    assert 10 == len(list(reader.records()))


def test_since_what_is_no_time(tmp_path: Path) -> None:
    """Named, with examples."""
    with pytest.raises(ConfigError, match="journal since 'soon': it must be a time in UTC such as 2026-11-24 or"):
        read_journal(tmp_path).entries(since="soon")
    with pytest.raises(ConfigError, match="journal since 'soon'"):
        list(read_journal(tmp_path).records(since="soon"))


def test_a_missing_folder_is_named() -> None:
    """And what to do about it."""
    with pytest.raises(ConfigError, match="'/nowhere': there is no such folder; watch --journal"):
        read_journal("/nowhere")


def test_a_kill_loses_at_most_the_last_second(tmp_path: Path) -> None:
    """Kill -9 while 10 000 records a second are written, over several files."""
    early, *others = kill_many(tmp_path, [0.3, 1.3, 1.8])

    assert [] == [each for each in (early, *others) if not each.is_good]
    assert all(each.due > 0 for each in others), others


async def test_a_folder_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A warning that names it, and everything else goes on."""
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "journal"  # below a file, not even root can make a folder
    with caplog.at_level(logging.WARNING):
        async with open_journal(folder, policy=FAST) as journal:
            session = journal.start_session("ws://host/", {}, nothing)
            with trio.fail_after(5):
                while not journal.dropped:
                    await trio.sleep(0.01)
            session.record_event(1, Closed(at=trio.current_time()))
    [record] = [record for record in caplog.records if record.name == "heartbeat_trio.journal"]

    assert f"the journal in {folder} cannot be written (Not a directory)" in record.getMessage()
    assert journal.dropped == 2


def keep_on_full_disk(folder: Path) -> None:
    """What runs in a mount namespace of its own: fill a small disk, free it, and see what the journal says."""

    async def main() -> None:
        pytest.MonkeyPatch().setattr("heartbeat_trio.journal.writer.RETRY", 0.05)
        (folder / "ballast").write_bytes(b"x" * (900 * 1024))
        async with open_journal(folder / "journal", policy=FAST) as journal:
            session = journal.start_session("ws://host/", {}, nothing)
            with trio.fail_after(8):
                while not journal.dropped:
                    for number in range(500):
                        session.record_ping(1, PingRecord(ping=number, at=1.0, sent_after=0.0, fate="answered"))
                    await trio.sleep(0.03)
                (folder / "ballast").unlink()
                while not any(entry.event == "dropped" for entry in read_journal(folder / "journal").entries()):
                    session.record_event(1, Lost(at=trio.current_time(), cause="reset", detail="after"))
                    await trio.sleep(0.05)
        reader = read_journal(folder / "journal")
        entries = list(reader.entries())
        assert reader.torn <= 1
        assert sum(entry.fields["count"] for entry in entries if entry.event == "dropped") == journal.dropped
        assert any(entry.event == "lost" for entry in entries)

    trio.run(main)


def test_a_full_disk_costs_records_and_nothing_else(tmp_path: Path) -> None:
    """On a small tmpfs: what is lost is counted, and journaled once there is room again."""
    unshare = shutil.which("unshare")
    if sys.platform != "linux" or os.geteuid() != 0 or unshare is None:
        pytest.skip("mounting a small disk needs Linux, root and unshare")
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); from pathlib import Path; "
        f"from tests.journal.test_journal import keep_on_full_disk; keep_on_full_disk(Path({str(tmp_path)!r}))"
    )
    script = f'mount -t tmpfs -o size=1m none "{tmp_path}" && exec "{sys.executable}" -c "$PROGRAM"'
    done = subprocess.run(
        [unshare, "-m", "sh", "-c", script],
        env=os.environ | {"PROGRAM": program},
        capture_output=True,
        text=True,
        timeout=20,
    )
    if "permission denied" in done.stderr.lower():
        pytest.skip("mounting is not allowed here")

    assert done.returncode == 0, done.stderr
    assert "cannot be written (No space left on device)" in done.stderr


async def test_a_hanging_disk_delays_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop goes on, the queue stays bounded, and the end comes within a second and a bit."""
    release = threading.Event()
    monkeypatch.setattr(JournalFile, "append", lambda *_, **__: release.wait(10))
    try:
        with trio.fail_after(4):
            async with open_journal(tmp_path, policy=JournalPolicy(flush_interval=0.01, capacity=100)) as journal:
                session = journal.start_session("ws://host/", {}, nothing)
                await trio.sleep(0.05)  # the thread hangs now
                for _ in range(1000):
                    session.record_ping(1, PING)
                worst = 0.0
                for _ in range(20):
                    begin = trio.current_time()
                    await trio.sleep(0.01)
                    worst = max(worst, trio.current_time() - begin)
        assert worst < 1.0  # a loop that waits for this disk waits for ten seconds
        assert journal.dropped >= 900
    finally:
        release.set()


async def test_cancelled_it_still_writes_what_it_has(tmp_path: Path) -> None:
    """The end is shielded, for at most a second."""
    with trio.CancelScope() as scope:
        async with open_journal(tmp_path, policy=JournalPolicy(flush_interval=1)) as journal:
            journal.start_session("ws://host/", {}, nothing).record_ping(1, PING)
            scope.cancel()
            await trio.sleep_forever()

    assert b'["p",' in journal_lines(tmp_path)[-1]


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_bytes", 100), ("capacity", 0), ("flush_interval", 0), ("flush_interval", 1.5), ("fsync", "sometimes")],
)
def test_impossible_policies_are_named(field: str, value: object) -> None:
    """Field and value stand in the message."""
    with pytest.raises(ConfigError, match=f"JournalPolicy.{field} = {value!r}"):
        JournalPolicy(**{field: value})  # type: ignore[arg-type]  # that is the point


async def test_it_shows_itself(tmp_path: Path) -> None:
    """For people who debug."""
    async with open_journal(tmp_path) as journal:
        assert isinstance(journal, Journal)
        assert repr(journal) == f"<Journal {tmp_path} waiting=0 dropped=0>"
