"""A report is made of whatever the fields of a journal's records hold, and is one that can be shown."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from heartbeat_trio.analysis.jsonform import schema, to_json
from heartbeat_trio.analysis.page import render_page
from heartbeat_trio.analysis.report import analyze
from heartbeat_trio.analysis.text import render_text
from heartbeat_trio.config import BackoffPolicy, HeartbeatPolicy, InboxPolicy, RestartPolicy
from tests.support.hand_journal import HandJournal
from tests.support.json_schema import complaints

if TYPE_CHECKING:
    from pathlib import Path

ODD = [None, True, "x", "429 Too Many", -1, 0, 1e300, 10**400, [], {}, [1, {"a": 2}], {"silent_for": "x"}, {"age": 1e308}]
POLICIES = {"heartbeat": HeartbeatPolicy, "backoff": BackoffPolicy, "inbox": InboxPolicy, "restart": RestartPolicy}
FIELDS = {
    "connecting": ("attempt",),
    "connected": ("kind",),
    "pong_missed": ("ping", "missed", "blame", "evidence"),
    "state": ("from", "to", "missed_pongs"),
    "suspect": ("suspect", "blame", "evidence"),
    "overrun": ("dropped",),
    "gap": ("symbol", "first", "last"),
    "local_stall": ("seconds",),
    "clock_jump": ("kind", "seconds"),
    "lost": ("cause", "detail", "blame", "evidence"),
    "gave_up": ("attempts",),
}


def write(folder: Path, odd: object, *, as_policy: bool) -> None:
    """Two dozen connections on each of which everything happened, with this for every field."""
    journal = HandJournal()
    configuration: object = odd
    if as_policy:
        configuration = {name: {each.name: odd for each in fields(policy)} for name, policy in POLICIES.items()}
    journal.tell("session", 100.0, configuration=configuration)
    for connection in range(1, 25):
        t = 100.0 + 600.0 * connection
        journal.pings(3, first=10 * connection, t=t)
        for number, (event, names) in enumerate(FIELDS.items()):
            told: dict[str, Any] = dict.fromkeys(names, odd)
            journal.tell(event, t + 20.0 * number, connection=connection, **told)
        journal.tell("lost", t + 400.0, connection=connection, cause="handshake", detail="429")
    journal.write(folder)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:9])
@pytest.mark.parametrize("as_policy", [False, True])
def test_a_report_is_made_whatever_a_field_holds(tmp_path: Path, odd: object, as_policy: bool) -> None:
    """In the terminal, as a page and as JSON; no incident is longer than the journal."""
    write(tmp_path, odd, as_policy=as_policy)
    report = analyze([tmp_path], use_cache=False)

    assert report.incidents
    assert all(0 <= each.duration <= 15_000 for each in report.incidents)
    assert all(line.isprintable() for line in render_text(report).splitlines())
    assert render_page(report).endswith("</html>\n")
    assert [] == complaints(schema(), json.loads(to_json(report)))
