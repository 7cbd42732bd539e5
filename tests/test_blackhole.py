"""A line that is cut without a word, in a network namespace: suspected within a second of the first unanswered send."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

CHILD = Path(__file__).parent / "support" / "blackhole.py"


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("ip")),
    reason="cutting a line of its own needs Linux, root, unshare and ip",
)
@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_a_cut_line_is_suspected_within_a_second(scheme: str) -> None:
    """Even if what was sent is no ping: the kernel knows that nothing is acknowledged. Dead seven probe timeouts later."""
    done = subprocess.run(
        ["unshare", "-n", sys.executable, str(CHILD), scheme], capture_output=True, text=True, timeout=20, check=True
    )
    result = json.loads(done.stdout)

    assert ("PATH_DEAD", "PATH_DEAD") == (result["suspect_blame"], result["blame"])
    assert result["suspect"] <= 1.0
    assert result["dead"] <= 1.0 + 7 * 1.0
    assert "check the line" in result["text"]
