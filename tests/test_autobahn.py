"""``scripts/bench autobahn`` where it cannot run, and what it makes of the suite's reports."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import pytest
import trio

from heartbeat_trio.transports.evidence import listen_tcp, open_socket_stream
from tests.benchmarks import autobahn
from tests.benchmarks.autobahn import Result, Suite, main, show
from tests.support.echo_peers import Echo, server, shake_hands


def test_without_python_2_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No failure: nothing was tested. A program that only has the name is not taken."""
    fake = tmp_path / "python2.7"
    fake.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["autobahn"])

    assert 0 == main()
    assert "not run: no CPython 2.7 on PATH or under ~/.pyenv\n" == capsys.readouterr().out


def test_where_nothing_can_be_installed_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With pip's last words."""
    fake = tmp_path / "versions" / "2.7.99" / "bin" / "python2.7"
    fake.parent.mkdir(parents=True)
    says = """if [ "$1" = -c ]; then echo "('CPython', True)"; else echo 'no network' >&2; exit 1; fi"""
    fake.write_text(f"#!/bin/sh\n{says}\n", encoding="utf-8")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["autobahn", "--output", "json"])

    assert 0 == main()
    assert {"not_run": f"{autobahn.PACKAGE} could not be installed: no network"} == json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("behavior", "at_close", "verdict"),
    [
        ("OK", "OK", "OK"),
        ("OK", "INFORMATIONAL", "OK"),
        ("OK", "UNCLEAN", "FAILED"),
        ("OK", "WRONG CODE", "FAILED"),
        ("NON-STRICT", "OK", "NON-STRICT"),
        ("UNIMPLEMENTED", "OK", "UNIMPLEMENTED"),
        ("FAILED", "OK", "FAILED"),
        ("who knows", "OK", "FAILED"),
    ],
)
def test_verdicts(behavior: str, at_close: str, verdict: str) -> None:
    """A wrong closing fails a case, however well its messages came."""
    assert verdict == Result("server", "1.1.1", behavior, at_close, 1000).verdict


def test_a_report_is_read_in_order_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was not OK is listed with its code; what was not run shows in the count."""
    found = {"behavior": "OK", "behaviorClose": "OK", "remoteCloseCode": 1000}
    report = {"10.1.1": found, "9.1.1": found, "3.2": {**found, "behavior": "NON-STRICT", "remoteCloseCode": None}}
    (tmp_path / "fuzzingclient").mkdir()
    (tmp_path / "fuzzingclient" / "index.json").write_text(json.dumps({autobahn.AGENT: report}), encoding="utf-8")
    suite = Suite(Path("python2.7"), tmp_path, tmp_path, ["*"])
    results = suite.results("fuzzingclient", "server")

    assert ["3.2", "9.1.1", "10.1.1"] == [result.case for result in results]
    assert [] == suite.results("fuzzingserver", "client")
    show(results, ["server", "client"])
    told = capsys.readouterr().out.splitlines()
    assert "| server | 3 | 2 | 1 | 0 | 0 | 0 |" in told
    assert "| client | 0 | 0 | 0 | 0 | 0 | 0 |" in told
    assert "closed as server with none x 1, 1000 x 2" in told
    assert "NON-STRICT    3.2 as server: NON-STRICT, closing OK, code None" in told


@pytest.mark.parametrize("deflate", [False, True])
async def test_its_peers_on_loopback(deflate: bool) -> None:
    """Text comes back as text and binary as binary, compressed if asked for; a Close is answered."""
    said = [Echo("grüße".encode() * 50, is_text=True), Echo(b"\xff" * 200, is_text=False), Echo(b"", is_text=True)]
    heard: list[Echo] = []
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            listeners = await listen_tcp("127.0.0.1", 0)
            nursery.start_soon(partial(trio.serve_listeners, server(deflate=True), listeners))
            stream = await open_socket_stream("127.0.0.1", listeners[0].port)
            peer = await shake_hands(stream, nursery, "client", deflate=deflate)
            for each in said:
                peer.send(each)
            while len(heard) < len(said):
                heard += await peer.receive()
            await peer.transport.aclose()
            nursery.cancel_scope.cancel()

    assert said == heard
    assert deflate == (peer.protocol.deflate_bits is not None)
    assert peer.protocol.is_closed
