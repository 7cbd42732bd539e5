"""What a venue that breaks its own rules writes, byte for byte."""

from __future__ import annotations

import re

import pytest

from heartbeat_trio.dialects import builtin_dialects, speakable_dialects
from heartbeat_trio.protocol.dialect_mirror import DialectMirror, Frame
from heartbeat_trio.protocol.spoiling import Spoil, spoil_payload, spoil_text, spoiled_ids

DIALECTS = builtin_dialects()
PROBE = {"bybit-v5": b'{"op":"ping","req_id":"00c0ffee"}', "kraken-v1": b'{"event":"ping","reqid":7}', "okx-v5": b"ping"}


def mirror(name: str, spoil: Spoil | None = None) -> DialectMirror:
    venue = DialectMirror(DIALECTS[name], now=0.0, unix_time=lambda: 1_700_000_000.25)
    venue.spoil = spoil
    return venue


@pytest.mark.parametrize(
    ("text", "kind", "spoiled"),
    [
        ("pong", "case", "PONG"),
        ("PONG $id", "case", "pong $id"),
        ("pong", "type", "pong"),
        ("pong", "id", "pong"),
        ("PONG $id", "id", "PONG $wrong_id"),
        ("PONG $id", "type", "PONG $id"),
        ('{"op":"pong","id":$id}', "id", '{"op":"pong","id":$wrong_id}'),
        ('{"op":"pong","id":$id}', "case", '{"op":"PONG","id":$id}'),
        ('{"op":"pong","id":$id,"at":"$id"}', "type", '{"op":"pong","id":$retyped_id,"at":"$id"}'),
        ('{"a":"x$any\\n\\u00e4y"}', "case", '{"a":"X$any\\n\\u00e4Y"}'),
        ('{"ping":$unix_ms}', "case", '{"PING":$unix_ms}'),
        ("[1,[$any]]", "case", "[1,[$any]]"),
        ('{"id":0,"b":[-1.5e3],"c":"2.0"}', "type", '{"id":"0","b":["-1.5e3"],"c":"2.0"}'),
    ],
)
def test_templates_are_spoiled(text: str, kind: Spoil, spoiled: str) -> None:
    """Literals, names of fields where there is nothing else, and whole tokens; never what stands for something else."""
    assert spoiled == spoil_text(text, kind)


@pytest.mark.parametrize(
    ("token", "wrong", "retyped"),
    [
        (b"7", b"4294967288", b'"7"'),
        (b'"00c0ffee"', b'"00000000"', b"0"),
        (b'"0000"', b'"1111"', b"0"),
        (b'""', b'"1"', b"0"),
        (b'"12"', b'"00"', b"12"),
        (b"1.5", b"0", b'"1.5"'),
    ],
)
def test_ids_are_spoiled(token: bytes, wrong: bytes, retyped: bytes) -> None:
    """Another id of the same type, and the same one in another type."""
    assert {"wrong_id": wrong, "retyped_id": retyped} == spoiled_ids(token)
    assert (b"\xfe\xff", b"0") == (spoil_payload(b"\x01\x00"), spoil_payload(b""))


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("okx-v5", "case", b"PONG"),
        ("kraken-v1", "id", b'{"event":"pong","reqid":4294967288}'),
        ("kraken-v1", "case", b'{"event":"PONG","reqid":7}'),
        ("kraken-v1", "type", b'{"event":"pong","reqid":"7"}'),
        ("kraken-v1", None, b'{"event":"pong","reqid":7}'),
        ("bybit-v5", "type", b'{"success":true,"ret_msg":"pong","conn_id":1,"req_id":0,"op":"ping"}'),
    ],
)
def test_pongs_are_spoiled(name: str, spoil: Spoil | None, said: bytes) -> None:
    """The venue counts the ping all the same."""
    venue = mirror(name, spoil)

    [frame] = venue.receive(Frame("text", PROBE[name]), 1.0)

    assert said == re.sub(rb'"conn_id":\d+', b'"conn_id":1', frame.payload)
    assert 1 == venue.pings_received


def test_control_pongs_and_pings_are_spoiled() -> None:
    """A control pong has another payload; a spoiled ping is not answered by what would answer a right one."""
    assert [Frame("pong", b"\xce")] == mirror("upbit", "id").receive(Frame("ping", b"1"), 1.0)
    assert [Frame("pong", b"1")] == mirror("upbit", "case").receive(Frame("ping", b"1"), 1.0)
    venue = mirror("crypto-com", "type")
    frames = [frame for frame in venue.handle_timer(30.0) if frame.kind == "text"]
    assert [b'{"id":1700000000250,"method":"public/heartbeat","code":"0"}'] == [frame.payload for frame in frames]
    venue.receive(Frame("text", b'{"id":1700000000250,"method":"public/respond-heartbeat"}'), 31.0)
    assert 0 == venue.answered


def test_every_venue_with_a_ping_in_words_can_be_spoiled() -> None:
    """By its own record; and every venue that answers control pings by a wrong payload."""
    spoils = {name: mirror(name).spoils for name in speakable_dialects(DIALECTS)}

    assert ("id", "case", "type") == spoils["kraken-v1"] == spoils["bybit-v5"]
    assert ("case",) == spoils["okx-v5"]
    assert ("case", "type") == spoils["mexc-spot"]
    for name, kinds in spoils.items():
        dialect = DIALECTS[name]
        assert kinds
        if (dialect.probe is not None and dialect.probe.level == "text") or any(each.ping for each in dialect.server_pings):
            assert "case" in kinds
