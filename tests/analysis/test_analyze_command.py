"""``heartbeat-trio analyze``: what it says, how it ends, and that nobody else pays for its libraries."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from heartbeat_trio.analysis import report as report_module
from heartbeat_trio.analysis.jsonform import schema, to_json
from heartbeat_trio.analysis.report import Progress, analyze
from heartbeat_trio.cli import main
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.testing import Outages, Truth, make_up_journal
from tests.support.analysis_report import read_report
from tests.support.json_schema import complaints

COMMAND = [sys.executable, "-m", "heartbeat_trio", "analyze"]
HEAVY = ("duckdb", "numpy", "scipy")


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """A day with two outages."""
    folder = tmp_path_factory.mktemp("weeks") / "bot"
    outages = Outages(at=((0.3, 40.0), (0.7, 95.0)), causes=("reset",))
    return make_up_journal(folder, days=1, planted=(outages,))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and error output of the command in this process."""
    with pytest.raises(SystemExit) as ended:
        main(["analyze", *arguments])
    assert isinstance(ended.value.code, int)
    return (ended.value.code, *capsys.readouterr())


def test_a_report_for_people(truth: Truth, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0, the advice first, both outages, and not a word on standard error."""
    code, out, err = run(capsys, str(truth.folder), "--zone", "America/New_York")

    assert (0, "") == (code, err)
    pings = f"{sum(truth.pings.values()):,}".replace(",", " ")
    assert out.splitlines()[0] == f"2026-01-04 to 2026-01-05 (America/New_York), 24 hours, 1 line, {pings} pings"
    assert out.splitlines()[2] == "Advice"
    assert out.count("  reset\n") == 2


def test_a_report_as_json_and_as_a_page(truth: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The document is as its schema says, and is the same report as in the program; the page is written beside it."""
    page = tmp_path / "report.html"
    code, out, err = run(capsys, str(truth.folder), "--output", "json", "--html", str(page))

    assert (0, "") == (code, err)
    assert [] == complaints(schema(), json.loads(out))
    assert read_report(out).lines == read_report(to_json(analyze([truth.folder]))).lines
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert stat.S_IMODE(page.stat().st_mode) == 0o644
    assert [page] == list(tmp_path.iterdir())


def test_the_schema_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Without any folder."""
    code, out, err = run(capsys, "--schema")

    assert (0, "") == (code, err)
    assert json.loads(out) == schema()


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("", "name at least one folder"),
        ("/does/not/exist", "/does/not/exist"),
        ("EMPTY", "EMPTY"),
        (__file__, "it is a file; name its folder"),
        ("FOLDER --zone Mars/Olympus", "zone 'Mars/Olympus' is not known: name one such as UTC, Europe/Berlin"),
        ("FOLDER --zone berlin", "zone 'berlin' is not known: perhaps Europe/Berlin"),
        ("FOLDER --zone ../../etc/passwd", "'../../etc/passwd' is not known"),
        ("FOLDER --html /does/not/exist/report.html", "must be a file in a folder that can be written to"),
        ("FOLDER --html EMPTY", "must be a file in a folder that can be written to"),
        ("FOLDER --html FOLDER/2026-01-05.1-aa.0001.jsonl", "is the name of a journal"),
        ("FOLDER --html FOLDER/old.jsonl.gz", "is the name of a journal"),
        ("FOLDER --output html", "html"),
    ],
)
def test_what_can_be_mended_is_told(
    arguments: str, names: str, truth: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, the value and the remedy in a line, nothing on standard output."""
    (tmp_path / "EMPTY").mkdir()
    words = arguments.replace("FOLDER", str(truth.folder)).replace("EMPTY", str(tmp_path / "EMPTY")).split()
    code, out, err = run(capsys, *words)

    assert (2, "") == (code, out)
    assert names in err
    assert "Traceback" not in err


def test_a_page_stays_until_the_new_one_is_complete(
    truth: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full leaves the old page, no litter, and one line that says so."""
    page = tmp_path / "report.html"
    page.write_text("yesterday")

    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    code, out, err = run(capsys, str(truth.folder), "--html", str(page))

    assert (2, "") == (code, out)
    assert f"--html '{page}' cannot be written: No space left on device" in err
    assert "yesterday" == page.read_text()
    assert [page] == list(tmp_path.iterdir())


def test_a_page_can_be_written_into_a_pipe(truth: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no file is never replaced by one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pages: list[str] = []
    reader = threading.Thread(target=lambda: pages.append(pipe.read_text()), daemon=True)
    reader.start()
    code, _, err = run(capsys, str(truth.folder), "--html", str(pipe))
    reader.join(timeout=5)

    assert (0, "") == (code, err)
    assert [True] == [page.startswith("<!doctype html>") for page in pages]
    assert pipe.is_fifo()


def test_the_rest_of_the_pipe_may_be_gone(truth: Truth) -> None:
    """`| head` has seen enough: exit 0, and no complaint."""
    command = [*COMMAND, str(truth.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as done:
        assert done.stdout is not None
        assert done.stderr is not None
        done.stdout.close()
        assert ("", 0) == (done.stderr.read(), done.wait(timeout=20))


def test_an_interrupt_says_nothing(
    truth: Truth, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 130, as shells expect."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(report_module, "load", interrupted)
    assert (130, "", "") == run(capsys, str(truth.folder))


class Terminal(io.StringIO):
    """A standard error that somebody looks at."""

    def isatty(self) -> bool:
        return True


def test_progress_is_for_those_who_look(truth: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar on a terminal, which leaves only the shown cursor behind."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setenv("TERM", "xterm-256color")
    with pytest.raises(SystemExit):
        main(["analyze", str(truth.folder), "--no-cache"])

    assert "advice" in screen.getvalue()  # the last step
    assert screen.getvalue().endswith("\x1b[1A\x1b[2K")


def test_progress_in_a_program(truth: Truth) -> None:
    """Parts of the reading rise to 1; each further step is named once."""
    told: list[Progress] = []
    report = analyze([truth.folder], progress=told.append, use_cache=False)

    parts = [each.part for each in told if each.what == "reading"]
    assert parts == sorted(parts, key=lambda part: part or 0)
    assert parts[-1] == 1
    steps = [each.what for each in told if each.what != "reading"]
    assert len(steps) == len(set(steps)) > 1
    assert report.zone == "UTC"
    with pytest.raises(ConfigError, match="zone '' is not known: name one"):
        analyze([truth.folder], zone="")


def test_nobody_else_pays_for_the_analysis() -> None:
    """Neither the library nor any other command imports its libraries; nor does its own help."""
    code = (
        "import sys, heartbeat_trio, heartbeat_trio.cli\n"
        "try: heartbeat_trio.cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    for arguments in (["dialects"], ["analyze", "--help"]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        assert done.stderr == "[]\n"


def test_a_missing_extra_is_told(truth: Truth) -> None:
    """What to install; exit 2."""
    code = "import sys; sys.modules['duckdb'] = None; import heartbeat_trio.cli as cli; cli.main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, "analyze", str(truth.folder)], capture_output=True, text=True, check=False, timeout=20
    )
    assert (2, "") == (done.returncode, done.stdout)
    assert "analysis needs duckdb: pip install 'heartbeat-trio[analysis]'" in done.stderr


def test_one_thread_is_enough_for_small_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told before numpy is loaded, and only where nobody chose a number."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "set, so that it is set back")
        monkeypatch.delenv(name)
    monkeypatch.setitem(sys.modules, "heartbeat_trio.analysis.page", None)  # the first import of all that loads numpy
    with pytest.raises(ImportError, match=r"heartbeat_trio\.analysis\.page"):
        main(["analyze", "folder"])

    assert [os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")] == ["3", "1", "1"]
