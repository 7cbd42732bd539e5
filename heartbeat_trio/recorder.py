"""What a session needs of whoever keeps its history: two small interfaces, which `heartbeat_trio.journal` implements."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .endpoint import Endpoint
    from .events import Event, PingRecord, QualitySnapshot


class SessionRecorder(Protocol):
    """Keeps one session's history. Nothing here waits or raises."""

    def configure(self, facts: Mapping[str, object]) -> None:
        """More of the configuration is known, or it is another now: policies and plain values."""

    def record_event(self, connection: int, event: Event) -> None:
        """Something happened. `connection` counts the session's connections from 1: the one that stands, or stood last."""

    def record_ping(self, connection: int, record: PingRecord) -> None:
        """A ping's fate is known."""

    def close(self) -> None:
        """The session ended."""


class Recorder(Protocol):
    """Keeps the history of any number of sessions."""

    def start_session(
        self, endpoint: str, configuration: Mapping[str, object], quality: Callable[[], QualitySnapshot]
    ) -> SessionRecorder:
        """A session began.

        Args:
            endpoint: Fit for printing: without query, fragment and user info.
            configuration: How it is run: see `describe`. Nothing in it is secret.
            quality: Asked for the statistics of each minute.
        """


def describe(endpoint: Endpoint, subscriptions: Iterable[str], policies: Iterable[Any]) -> dict[str, object]:
    """A session's configuration as plain values: each policy by its name, such as `heartbeat`, and the rest."""
    described = {type(policy).__name__.removesuffix("Policy").lower(): asdict(policy) for policy in policies}
    return described | {"subscriptions": list(subscriptions), "dialect": endpoint.dialect, "engine": endpoint.engine}
