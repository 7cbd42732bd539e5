"""Where alerts go: the log, a command, a webhook, and everything that apprise knows.

Addresses and command lines are secrets. They are in no `repr`, no message and no error from here; a sink is known by its
kind, and a failure by what the system says of it.
"""

from __future__ import annotations

import importlib
import logging
import os
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec
import trio

from ..exceptions import ConfigError, HeartbeatTrioError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..events import Alert

logger = logging.getLogger("heartbeat_trio.alerts")

TIMEOUT = 10.0
"""Seconds that one delivery may take."""
THREADS = 2
"""Threads per sink. One that hangs is given up but not stopped; it must not use up those of others."""
EXAMPLE = "a sink looks like log, command:/path/program --flag, webhook:https://host/path or apprise:URL"


class SinkError(HeartbeatTrioError):
    """An alert was not delivered. The message has the sink's kind and the reason, never an address or a command line."""


class Sink(ABC):
    """Somewhere that alerts go. Subclasses have a `kind` and a `send`.

    Args:
        timeout: Seconds that one delivery may take.
    """

    kind: ClassVar[str]
    """What may be shown of it."""

    def __init__(self, *, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"<{self.kind} sink>"

    async def deliver(self, endpoint: str, alert: Alert) -> None:
        """Deliver one alert, within the timeout.

        Args:
            endpoint: Of what session, fit for printing.
            alert: What happened.

        Raises:
            SinkError: It was not delivered.
        """
        problem = await self._try(endpoint, alert)
        if problem is not None:  # raised here, and not where it was caught, so that no secret hangs on as its context
            raise SinkError(f"{self.kind}: {problem}")

    async def _try(self, endpoint: str, alert: Alert) -> str | None:
        await trio.lowlevel.checkpoint()
        try:
            with trio.fail_after(self.timeout):
                await self.send(endpoint, alert)
        except trio.TooSlowError:
            return f"not delivered within {self.timeout:g} s"
        except Exception as error:  # noqa: BLE001 - whatever a sink raises must not end the watching
            return _reason(error)
        return None

    @abstractmethod
    async def send(self, endpoint: str, alert: Alert) -> None:
        """Deliver one alert. It may take its time and raise whatever it likes: see `deliver`."""


class LogSink(Sink):
    """Logs warnings to ``heartbeat_trio.alerts``, recoveries too: nobody may be left with an alert that is over."""

    kind = "log"

    async def send(self, endpoint: str, alert: Alert) -> None:
        """Log it."""
        await trio.lowlevel.checkpoint()
        logger.warning("%s: %s (%s)", endpoint, alert.text, alert.rule)


class CommandSink(Sink):
    """Runs a program, without a shell, for each alert.

    It gets the alert as JSON on standard input, and as HEARTBEAT_RULE, HEARTBEAT_ENDPOINT, HEARTBEAT_TEXT and
    HEARTBEAT_RECOVERY ("0" or "1") in its environment. At the timeout it is killed, with what it started.

    Args:
        arguments: The program and its arguments.
        timeout: Seconds that it may run.
    """

    kind = "command"

    def __init__(self, arguments: Sequence[str], *, timeout: float = TIMEOUT) -> None:
        super().__init__(timeout=timeout)
        self._arguments = list(arguments)

    async def send(self, endpoint: str, alert: Alert) -> None:
        """Run it; any exit status but 0 is a failure."""
        done = await trio.run_process(
            self._arguments,
            stdin=_as_json(endpoint, alert),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_as_environment(endpoint, alert)},
            check=False,
            start_new_session=True,
            deliver_cancel=_kill_group,
        )
        if done.returncode != 0:
            raise SinkError(f"exit status {done.returncode}")


class _ThreadSink(Sink):
    """A sink that blocks: it is called in a thread of its own limited number."""

    def __init__(self, *, timeout: float = TIMEOUT) -> None:
        super().__init__(timeout=timeout)
        self._limiter = trio.CapacityLimiter(THREADS)

    async def _call(self, blocking: Callable[[], None]) -> None:
        await trio.to_thread.run_sync(blocking, abandon_on_cancel=True, limiter=self._limiter)


class WebhookSink(_ThreadSink):
    """Posts each alert as JSON. Any answer but 2xx is a failure, redirects too.

    Args:
        address: An http or https URL.
        timeout: Seconds that it may take.
    """

    kind = "webhook"

    def __init__(self, address: str, *, timeout: float = TIMEOUT) -> None:
        super().__init__(timeout=timeout)
        self._address = address

    async def send(self, endpoint: str, alert: Alert) -> None:
        """Post it."""
        await self._call(partial(self._post, _as_json(endpoint, alert)))

    def _post(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json", "User-Agent": "heartbeat-trio"}
        request = Request(self._address, data=body, headers=headers, method="POST")  # noqa: S310 - checked by parse_sink
        try:
            build_opener(_NoRedirects).open(request, timeout=self.timeout).close()
        except HTTPError as error:
            error.close()
            raise SinkError(f"HTTP status {error.code}") from None


class _NoRedirects(HTTPRedirectHandler):
    """What was meant for one address must not go to another one."""

    def redirect_request(self, *_arguments: object) -> None:
        """None: the redirect's own status is the answer."""


class AppriseSink(_ThreadSink):
    """Notifies through apprise (the extra `alerts`).

    Args:
        notifier: An `apprise.Apprise` with its addresses.
        timeout: Seconds that it may take.
    """

    kind = "apprise"

    def __init__(self, notifier: Any, *, timeout: float = TIMEOUT) -> None:  # noqa: ANN401 - apprise may be absent
        super().__init__(timeout=timeout)
        self._notifier = notifier

    async def send(self, endpoint: str, alert: Alert) -> None:
        """Notify."""
        title = f"heartbeat-trio: {endpoint} {'has recovered' if alert.is_recovery else 'needs a look'}"
        await self._call(partial(self._notify, title, alert.text))

    def _notify(self, title: str, body: str) -> None:
        if not self._notifier.notify(title=title, body=body):
            raise SinkError("apprise did not deliver it")


def parse_sink(text: str) -> Sink:
    """Read a sink: `log`, `command:/path/program --flag`, `webhook:https://...`, or `apprise:URL`.

    Raises:
        ConfigError: It is none; the message never repeats an address or a command line.
    """
    kind, colon, argument = text.partition(":")
    build = _BUILDERS.get(kind)
    if build is None or bool(colon) is (kind == "log"):
        raise ConfigError(f"alert sink {kind if kind in _BUILDERS else '(not shown)'}: that is none; {EXAMPLE}")
    return build(argument)


def _build_log(_argument: str) -> Sink:
    return LogSink()


def _build_command(argument: str) -> Sink:
    try:
        arguments = shlex.split(argument)
    except ValueError as error:
        raise ConfigError(f"alert sink command: {str(error).lower()}; {EXAMPLE}") from None
    if not arguments:
        raise ConfigError(f"alert sink command: the program is missing; {EXAMPLE}")
    if "\0" in argument or shutil.which(arguments[0]) is None:
        raise ConfigError("alert sink command: there is no such program, or it may not be executed; give its full path")
    return CommandSink(arguments)


def _build_webhook(argument: str) -> Sink:
    problem = _problem_of_address(argument)
    if problem is not None:
        raise ConfigError(f"alert sink webhook: {problem}; for example webhook:https://host/path")
    return WebhookSink(argument)


def _problem_of_address(address: str) -> str | None:
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises if it is none
    except ValueError:
        return "the address is no URL"
    if not address.isascii() or any(character <= " " or character == "\x7f" for character in address):
        return "the address must be printable ASCII without spaces"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "the address must begin with http://host or https://host"
    return "user info in the address is not supported" if "@" in parts.netloc else None


def _build_apprise(argument: str) -> Sink:
    try:
        apprise = importlib.import_module("apprise")
    except ImportError:
        raise ConfigError("alert sink apprise: it is not installed: pip install 'heartbeat-trio[alerts]'") from None
    notifier = apprise.Apprise()
    if not argument or not notifier.add(argument):
        raise ConfigError("alert sink apprise: apprise does not understand the address; for example apprise:ntfy://topic")
    return AppriseSink(notifier)


_BUILDERS: dict[str, Callable[[str], Sink]] = {
    "log": _build_log,
    "command": _build_command,
    "webhook": _build_webhook,
    "apprise": _build_apprise,
}


def _as_json(endpoint: str, alert: Alert) -> bytes:
    fields = {"rule": alert.rule, "endpoint": endpoint, "text": alert.text, "recovery": alert.is_recovery}
    return msgspec.json.encode(fields) + b"\n"


def _as_environment(endpoint: str, alert: Alert) -> dict[str, str]:
    return {
        "HEARTBEAT_RULE": alert.rule,
        "HEARTBEAT_ENDPOINT": endpoint,
        "HEARTBEAT_TEXT": alert.text,
        "HEARTBEAT_RECOVERY": str(int(alert.is_recovery)),
    }


async def _kill_group(process: trio.Process) -> None:  # noqa: ASYNC124, ASYNC910 - Trio wants it so
    """Kill a program and what it started: it had its time, and Trio's way would give it five seconds more."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _reason(error: BaseException) -> str:
    """What may be told of an error: errors of others may quote addresses, so only their type or errno is shown."""
    if isinstance(error, BaseExceptionGroup):
        return _reason(error.exceptions[0])
    if isinstance(error, SinkError):
        return str(error)
    if isinstance(error, URLError) and isinstance(error.reason, BaseException):
        return _reason(error.reason)
    if isinstance(error, ssl.SSLError):  # its errno is no errno
        return f"TLS: {error.reason or type(error).__name__}"
    if isinstance(error, socket.gaierror):
        return "the host's name has no address"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__
