"""The Autobahn test suite against the native WebSocket engine, as server and as client.

autobahntestsuite is Python 2 code: it is installed from PyPI, for a CPython 2.7 on PATH or under ~/.pyenv, into
a temporary folder (--environment keeps it). Where there is no such thing, the message begins with "not run:" and the exit
code is 0. It is 1 if any case failed or was not strict, or if cases were not run.

The peers are tests/support/echo_peers.py: our transport, with messages sent back. The default cases take half a minute,
those of permessage-deflate half an hour: scripts/bench autobahn --cases '12.*' '13.*' --timeout 3600
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import trio

from heartbeat_trio._background import open_background
from heartbeat_trio.exceptions import HeartbeatTrioError
from heartbeat_trio.transports.evidence import listen_tcp
from tests.support.echo_peers import ask, server

PACKAGE = "autobahntestsuite==25.10.1"
CASES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.1.*", "9.2.*", "10.*")
COMPRESSED = ("12.", "13.")
AGENT = "heartbeat_trio"
INSTALL_TIMEOUT = 600.0
START_TIMEOUT = 60.0
CASE_TIMEOUT = 500.0
"""Seconds; the suite's own longest is 480."""

WSTEST = "import site, sys; site.addsitedir(sys.argv.pop(1)); from autobahntestsuite.wstest import run; run()"
"""zope's namespace needs more than a PYTHONPATH."""

COLUMNS = ("OK", "NON-STRICT", "INFORMATIONAL", "FAILED", "UNIMPLEMENTED")


class NotRun(Exception):
    """This machine cannot; the message says why."""


class Result(NamedTuple):
    """One case in one role, as the suite judged it."""

    role: str
    case: str
    behavior: str
    behavior_at_close: str
    close_code: int | None

    @property
    def verdict(self) -> str:
        """The worse of what was judged of the messages and of the closing."""
        if self.behavior == "OK" and self.behavior_at_close not in ("OK", "INFORMATIONAL"):
            return "FAILED"
        return self.behavior if self.behavior in COLUMNS else "FAILED"


# -- the suite -------------------------------------------------------------------------------------------------------------


def candidates() -> Iterator[Path]:
    """Programs that may be CPython 2.7."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        for name in ("python2.7", "python2", "python"):
            yield Path(folder, name)
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(home.glob("versions/2.7*/bin/python2.7"))


def find_python() -> Path:
    """A CPython 2.7 that has pip."""
    test = "import platform, sys; print(platform.python_implementation(), sys.version_info[:2] == (2, 7)); import pip"
    last = "no CPython 2.7 on PATH or under ~/.pyenv"
    for path in candidates():
        if path.is_file() and os.access(path, os.X_OK):
            try:
                found = subprocess.run([path, "-c", test], capture_output=True, text=True, timeout=30, check=False)
            except (OSError, subprocess.TimeoutExpired):
                continue
            is_right = found.stdout.strip() == "('CPython', True)"
            if is_right and not found.returncode:
                return path
            last = f"{path} has no pip" if is_right else last
    raise NotRun(last)


def install(python: Path, folder: Path) -> None:
    """Put the suite into a folder of its own, if it is not there."""
    if (folder / "autobahntestsuite").is_dir():
        return
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--target",
        str(folder),
        PACKAGE,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotRun(f"{PACKAGE} could not be installed within {INSTALL_TIMEOUT:g} s") from error
    if done.returncode:
        raise NotRun(f"{PACKAGE} could not be installed: {(done.stderr.strip() or 'pip said nothing').splitlines()[-1]}")


class Suite(NamedTuple):
    """Runs it."""

    python: Path
    site: Path
    folder: Path
    cases: Sequence[str]

    def command(self, mode: str, **spec: object) -> list[str]:
        """The command for a mode of wstest; its reports go into a folder of that name."""
        path = self.folder / f"{mode}.json"
        spec |= {
            "outdir": str(self.folder / mode),
            "cases": list(self.cases),
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        path.write_text(json.dumps(spec), encoding="utf-8")
        options = ["--mode", mode, "--spec", str(path), *(["--webport", "0"] if mode == "fuzzingserver" else [])]
        return [str(self.python), "-c", WSTEST, str(self.site), *options]

    async def run(  # noqa: ASYNC128 - run_process calls it
        self, command: list[str], *, task_status: trio.TaskStatus[trio.Process] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run it until it ends; cancelled, it is ended."""
        environment = {**os.environ, "PYTHONPATH": str(self.site)}
        with (self.folder / "log").open("ab") as log:
            process = partial(trio.run_process, command, env=environment, stdout=log, stderr=log, check=False)
            await process(task_status=task_status)

    def results(self, mode: str, role: str) -> list[Result]:
        """What its report says."""
        path = self.folder / mode / "index.json"
        if not path.is_file():
            return []
        report = json.loads(path.read_text(encoding="utf-8"))[AGENT]
        return [
            Result(role, case, found["behavior"], found["behaviorClose"], found["remoteCloseCode"])
            for case, found in sorted(report.items(), key=lambda item: [int(part) for part in item[0].split(".")])
        ]


# -- the roles -------------------------------------------------------------------------------------------------------------


async def as_server(suite: Suite) -> list[Result]:
    """Its client against our server."""
    async with trio.open_nursery() as nursery:
        listeners = await listen_tcp("127.0.0.1", 0)
        nursery.start_soon(partial(trio.serve_listeners, server(deflate=True), listeners))
        url = f"ws://127.0.0.1:{listeners[0].port}"
        await suite.run(suite.command("fuzzingclient", servers=[{"agent": AGENT, "url": url}]))
        nursery.cancel_scope.cancel()
    return suite.results("fuzzingclient", "server")


async def as_client(suite: Suite) -> list[Result]:
    """Its server against our client."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with open_background() as background:
        await background.nursery.start(suite.run, suite.command("fuzzingserver", url=f"ws://127.0.0.1:{port}"))
        count = int(await first_answer(port, "/getCaseCount"))
        for case in range(1, count + 1):
            info = json.loads((await ask(port, f"/getCaseInfo?case={case}", answers_back=False))[0].payload)
            with trio.move_on_after(CASE_TIMEOUT), suppress(HeartbeatTrioError, OSError):  # the suite judges for itself
                await ask(port, f"/runCase?case={case}&agent={AGENT}", deflate=info["id"].startswith(COMPRESSED))
        await ask(port, f"/updateReports?agent={AGENT}")
    return suite.results("fuzzingserver", "client")


async def first_answer(port: int, path: str) -> bytes:
    """The first answer of a server that may have to start yet."""
    with trio.fail_after(START_TIMEOUT):
        while True:
            try:
                return (await ask(port, path, answers_back=False))[0].payload
            except (OSError, HeartbeatTrioError):
                await trio.sleep(0.2)


async def run(suite: Suite, roles: Sequence[str], timeout: float) -> list[Result]:
    """Both roles, one after the other, each within its time."""
    results: list[Result] = []
    for role in roles:
        try:
            with trio.fail_after(timeout):
                results += await (as_server if role == "server" else as_client)(suite)
        except (trio.TooSlowError, HeartbeatTrioError, OSError) as error:
            print(f"as {role}: {str(error) or f'not done within {timeout:g} s'}", file=sys.stderr)
    return results


# -- what is told ----------------------------------------------------------------------------------------------------------


def show(results: Sequence[Result], roles: Sequence[str]) -> None:
    """The table, the codes with which we closed, and what was not OK."""
    print(f"| role | cases | {' | '.join(name.lower() for name in COLUMNS)} |")
    print(f"| --- | {'---: | ' * len(COLUMNS)}---: |")
    for role in roles:
        ours = [result for result in results if result.role == role]
        verdicts = Counter(result.verdict for result in ours)
        print(f"| {role} | {len(ours)} | {' | '.join(str(verdicts[name]) for name in COLUMNS)} |")
    for role in roles:
        codes = Counter(result.close_code for result in results if result.role == role)
        told = ", ".join(
            f"{code or 'none'} x {count}" for code, count in sorted(codes.items(), key=lambda item: item[0] or 0)
        )
        print(f"closed as {role} with {told}")
    for result in results:
        if result.verdict != "OK":
            said = f"{result.behavior}, closing {result.behavior_at_close}, code {result.close_code}"
            print(f"{result.verdict:13} {result.case} as {result.role}: {said}")


def main() -> int:
    """Install, run, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=CASES, help="such as 6.* or 9.1.1")
    parser.add_argument("--roles", nargs="+", choices=["server", "client"], default=["server", "client"])
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds for each role")
    parser.add_argument("--environment", type=Path, help="folder in which the suite is, or is to be, installed")
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="autobahn-") as name:
        folder = Path(name)
        try:
            python = find_python()
            site = options.environment or folder / "site"
            install(python, site)
        except NotRun as error:
            print(json.dumps({"not_run": str(error)}) if options.output == "json" else f"not run: {error}")
            return 0
        results = trio.run(run, Suite(python, site.resolve(), folder, options.cases), options.roles, options.timeout)
        if not results:
            shutil.copyfileobj((folder / "log").open(encoding="utf-8", errors="replace"), sys.stderr)
    if options.output == "json":
        print(json.dumps({"results": [{**result._asdict(), "verdict": result.verdict} for result in results]}))
    else:
        show(results, options.roles)
    was_run = {result.role for result in results} == set(options.roles)
    return 0 if was_run and not any(result.verdict in ("FAILED", "NON-STRICT") for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
