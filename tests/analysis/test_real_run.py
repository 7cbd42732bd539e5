"""A real client, done to what can be done; the report tells what that was, and when."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from heartbeat_trio.analysis.report import analyze

CHILD = Path(__file__).parent.parent / "support" / "faulty_run.py"
EXPECTED = {
    "freeze": ("pong_timeout", "PEER_SILENT"),
    "kill": ("closed_by_peer", None),
    "cut": ("pong_timeout", "PATH_DEAD"),
    "stall": ("local_stall", "LOCAL_STALL"),
}


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("ip")),
    reason="cutting a line of its own needs Linux, root, unshare and ip",
)
def test_incidents_are_what_was_done(tmp_path: Path) -> None:
    """Frozen, killed, cut, stalled by ourselves: four incidents, each by its cause, begun and over within 1 s of it."""
    command = ["unshare", "-n", sys.executable, str(CHILD), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=True)
    faults = json.loads(done.stdout)
    incidents = sorted(analyze([tmp_path]).incidents, key=lambda each: each.begun_at)

    assert [EXPECTED[fault["what"]] for fault in faults] == [(each.cause, each.blame) for each in incidents]
    for fault, incident in zip(faults, incidents, strict=True):
        assert incident.ended_at is not None
        assert abs(incident.begun_at - fault["begun_at"]) <= 1, fault
        assert abs(incident.ended_at - fault["ended_at"]) <= 1, fault
