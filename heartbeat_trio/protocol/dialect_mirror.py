"""A venue's side of a dialect, for simulators: when it pings, what it answers, and when it drops a client.

The same record as the client's, read the other way round. Rules of this file: it knows neither clock nor transport; the
shell calls `handle_timer` when `next_deadline` has come and `receive` with each frame, and sends the frames it is given.
"""

from __future__ import annotations

import gzip
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from ..sansio.limits import RollingLimit
from .dialect_template import Template, bind, template
from .spoiling import Spoil, possible_spoils, spoil_payload, spoil_text, spoiled_ids
from .wire import BAD_INPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .dialect_record import Dialect, Reset

Kind = Literal["text", "binary", "ping", "pong", "close"]

MAX_UNANSWERED = 64
"""Pings whose answer is awaited; older ones are forgotten."""

POLICY_VIOLATION, TOO_BIG = 1008, 1009
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.encode


class Frame(NamedTuple):
    """What is sent or received. A close carries its code in decimal, b"" for a connection that just ends (1006)."""

    kind: Kind
    payload: bytes


class _Timed:
    """Something that the venue sends again and again."""

    def __init__(self, period: float, text: str) -> None:
        self.period = period
        self.text = text
        self.due = inf


class DialectMirror:
    """One connection, seen from the venue.

    Args:
        dialect: The venue's.
        now: Trio time; the connection stands.
        unix_time: Tells the time of day in Unix seconds.
        parameters: As for `DialectCodec`.
        pong: Which of the dialect's pongs it sends.
        phase: Part of a period after which the first ping comes.
    """

    def __init__(
        self,
        dialect: Dialect,
        *,
        now: float,
        unix_time: Callable[[], float],
        parameters: Mapping[str, str | int | float] | None = None,
        pong: int = 0,
        phase: float = 1.0,
    ) -> None:
        self.dialect = dialect
        self.pings_clients = True
        """Whether it sends pings and beats."""
        self.answers_pings = True
        self.spoil: Spoil | None = None
        """The mistake that it makes in its pongs, pings and beats."""
        self.subscribed: list[str] = []
        """Symbols as the client spelled them."""
        self.unknown: list[bytes] = []
        """The last messages that it did not understand."""
        self.answered = 0
        """Pings of its own that were answered as they should be."""
        self.unanswered = 0
        """... and those in a row whose answer did not come in time."""
        self.pings_received = 0
        self._unix_time = unix_time
        self._pong = pong
        self._phase = phase
        subscriptions = dialect.subscriptions
        channel = {} if subscriptions is None else {"channel": subscriptions.channel}
        values: dict[str, str | int | float] = {**channel, **dialect.parameters, **(parameters or {})}
        self._values = {name: _encode(value) for name, value in values.items()}
        self._item = "" if subscriptions is None else bind(subscriptions.item, self._values)
        self._started = self._reset_at = now
        self._is_over = False
        self._number = self._beaten = 0
        # A venue that asks in its own words does not take a machine's pong for an answer.
        self._counts_texts = any(ping.level == "text" for ping in dialect.server_pings)
        self._awaited: deque[tuple[bytes, float]] = deque(maxlen=MAX_UNANSWERED)
        limits = dialect.limits
        self._limit = self._subscribe_limit = None
        if limits.messages is not None:
            self._limit = RollingLimit(limits.messages, limits.message_period)
        if limits.subscribes is not None:
            self._subscribe_limit = RollingLimit(limits.subscribes, limits.subscribe_period)
        self._timed = [_Timed(ping.period, ping.ping) for ping in dialect.server_pings if ping.period]
        self._beats = [_Timed(beat.period, beat.message) for beat in dialect.beats if beat.period]
        if not dialect.opening.messages:
            self._start(self._timed, now)

    def __repr__(self) -> str:
        return f"<DialectMirror {self.dialect.name} answered={self.answered} unanswered={self.unanswered}>"

    @property
    def spoils(self) -> tuple[Spoil, ...]:
        """The mistakes that `spoil` may be."""
        return possible_spoils(self.dialect, self._values, pong=self._pong)

    def greet(self) -> list[Frame]:
        """What the venue says first."""
        welcome = self.dialect.opening.welcome
        return [self._say(self._write(welcome))] if welcome else []

    def next_deadline(self) -> float:
        """When `handle_timer` is due; `inf` once it is over."""
        if self._is_over:
            return inf
        return min(self._drop_at(), *(each.due for each in (*self._timed, *self._beats)), inf)

    def handle_timer(self, now: float) -> list[Frame]:
        """Ping, beat, or drop the client, if it is time. Early calls do nothing."""
        if self._is_over:
            return []
        self._count_unanswered(now)
        if self._drop_at() <= now:
            return self._drop(self.dialect.server_clock.code)
        return [frame for each in (*self._timed, *self._beats) if each.due <= now for frame in self._beat(each, now)]

    def push(self, text: bytes, now: float) -> Frame:
        """Data of the venue's, in the frame that it would use."""
        self._reset("server_data", now)
        return self._say(text)

    def receive(self, frame: Frame, now: float) -> list[Frame]:
        """The client sent a frame; what it gets for that."""
        if self._is_over:
            return []
        limits = self.dialect.limits
        is_counted = limits.pings_count or frame.kind == "text"
        if is_counted and self._limit is not None and not self._limit.try_acquire(now):
            return self._drop(POLICY_VIOLATION)
        if frame.kind in ("ping", "pong"):
            return self._receive_control(frame, now)
        if limits.frame_bytes is not None and len(frame.payload) > limits.frame_bytes:
            return self._drop(TOO_BIG)
        answers = self._answer(frame.payload, now)
        self._reset("message", now)
        if any(answer.kind in ("text", "binary") for answer in answers):
            self._reset("server_data", now)
        return answers

    # -- when ----------------------------------------------------------------------------------------------------------

    def _start(self, timed: list[_Timed], now: float) -> None:
        for each in timed:
            if each.due == inf:
                each.due = now + self._phase * each.period

    def _drop_at(self) -> float:
        """When the client is dropped if nothing more comes of it."""
        clock, opening, age = self.dialect.server_clock, self.dialect.opening, self.dialect.max_age
        at = inf if age is None else self._started + age
        if opening.subscribe_within is not None and not self.subscribed and not opening.messages:
            at = min(at, self._started + opening.subscribe_within)
        if clock.unanswered is not None and clock.deadline is not None:
            late = list(self._awaited)[clock.unanswered - self.unanswered - 1 :]
            return min(at, late[0][1] + clock.deadline) if late else at
        return at if clock.deadline is None else min(at, self._reset_at + clock.deadline)

    def _count_unanswered(self, now: float) -> None:
        deadline = self.dialect.server_clock.deadline
        if self.dialect.server_clock.unanswered is None or deadline is None or self._drop_at() <= now:
            return
        while self._awaited and self._awaited[0][1] + deadline <= now:
            self._awaited.popleft()
            self.unanswered += 1

    def _reset(self, what: Reset, now: float) -> None:
        if what in self.dialect.server_clock.resets:
            self._reset_at = now
            self.unanswered = 0
            if what != "pong":  # a pong answers what it answers
                self._awaited.clear()

    def _drop(self, code: int | None) -> list[Frame]:
        self._is_over = True
        return [Frame("close", b"" if code in (None, 1006) else b"%d" % code)]

    def _beat(self, timed: _Timed, now: float) -> list[Frame]:
        timed.due += timed.period
        if not self.pings_clients:
            return []
        if not timed.text:  # a control frame
            self._number += 1
            payload = b"%d" % self._number
            if not self._counts_texts:
                self._awaited.append((payload, now))
            return [Frame("ping", payload)]
        self._beaten += timed in self._beats
        text = self._write_spoiled(timed.text)
        if timed in self._timed:
            self._awaited.append((text, now))
        self._reset("server_data", now)
        return [self._say(text)]

    # -- what ----------------------------------------------------------------------------------------------------------

    def _receive_control(self, frame: Frame, now: float) -> list[Frame]:
        self._reset("control", now)
        if frame.kind == "ping":
            self.pings_received += 1
            self._reset("ping", now)
            payload = spoil_payload(frame.payload) if self.spoil == "id" else frame.payload
            return [Frame("pong", payload)] if self.answers_pings else []
        if any(frame.payload == payload for payload, _ in self._awaited):
            self._is_answered(frame.payload, now)
        else:
            self._reset("any_pong", now)
        return []

    def _is_answered(self, what: bytes, now: float) -> None:
        """A ping was answered: all before it are as well."""
        while self._awaited.popleft()[0] != what:
            pass
        self.answered += 1
        self._reset("pong", now)

    def _answer(self, text: bytes, now: float) -> list[Frame]:
        try:
            message = _parse(text)
            done = self._answer_ping(text, message, now)
            for find in (self._take_reply, self._take_subscription, self._take_opening):
                if done is None:
                    done = find(text, message, now)
        except BAD_INPUT:
            done = None
        if done is None:
            self.unknown = [*self.unknown[-MAX_UNANSWERED:], text]
            return []
        return done

    def _answer_ping(self, text: bytes, message: object, now: float) -> list[Frame] | None:
        probe = self.dialect.probe
        values = None if probe is None or probe.level == "control" else self._match(probe.ping, text, message)
        if probe is None or values is None:
            return None
        self.pings_received += 1
        self._reset("ping", now)
        return [self._say(self._write_spoiled(probe.pongs[self._pong], values))] if self.answers_pings else []

    def _take_reply(self, text: bytes, message: object, now: float) -> list[Frame] | None:
        """The client's answer to a ping of ours, with exactly what that ping carried."""
        for ping in self.dialect.server_pings:
            values = self._match(ping.reply, text, message) if ping.level == "text" else None
            if values is None:
                continue
            for awaited, _ in self._awaited:
                asked = self._match(ping.ping, awaited, _parse(awaited))
                if asked is not None and all(values.get(name) == token for name, token in asked.items()):
                    self._is_answered(awaited, now)
                    return [self._say(self._write(ping.result, values))] if ping.result else []
        return None

    def _take_subscription(self, text: bytes, message: object, now: float) -> list[Frame] | None:
        subscriptions = self.dialect.subscriptions
        if subscriptions is None:
            return None
        for is_wanted, request, acks in (
            (True, subscriptions.subscribe, subscriptions.acks),
            (False, subscriptions.unsubscribe, subscriptions.unsubscribe_acks or subscriptions.acks),
        ):
            asked = self._template(request).match(message) if request else None
            if asked is None:
                continue
            if self._subscribe_limit is not None and not self._subscribe_limit.try_acquire(now):
                return self._drop(POLICY_VIOLATION)
            symbols = [str(each["symbol"]) for each in asked.get("items", [asked])]
            kept = [] if subscriptions.replaces else [each for each in self.subscribed if each not in symbols]
            self.subscribed = kept + (symbols if is_wanted else [])
            self._start(self._beats, now)
            values = self._match(request, text, message) or {}
            return self._acknowledge(acks[0], symbols, values) if acks else []
        return None

    def _acknowledge(self, ack: str, symbols: list[str], values: dict[str, bytes]) -> list[Frame]:
        items = [{"symbol": _encode(symbol)} for symbol in symbols]
        if "symbol" in template(ack).names:  # one for each
            return [self._say(self._write(ack, {**values, **each})) for each in items]
        return [self._say(self._template(ack).render(self._with_times(values), items))]

    def _take_opening(self, _text: bytes, message: object, now: float) -> list[Frame] | None:
        for opening in self.dialect.opening.messages:
            asked = template(opening).match(message)
            if asked is None:
                continue
            interval = asked.get("beat_interval")  # the client chooses it
            for each in (*self._timed, *self._beats):
                if isinstance(interval, int | float) and interval > 0:
                    each.period = interval
            self._start(self._timed, now)
            self._start(self._beats, now)
            return []
        return None

    # -- words ---------------------------------------------------------------------------------------------------------

    def _template(self, text: str) -> Template:
        return template(bind(text, self._values), self._item)

    def _match(self, text: str, data: bytes, message: object) -> dict[str, bytes] | None:
        """The tokens of a message that matches, exactly as they came."""
        pattern = self._template(text)
        if pattern.match(message) is None:
            return None
        return {name: pattern.raw(data, name) for name in pattern.captures}

    def _write(self, text: str, values: Mapping[str, bytes] | None = None) -> bytes:
        return self._template(text).render(self._with_times(values or {}))

    def _write_spoiled(self, text: str, values: Mapping[str, bytes] | None = None) -> bytes:
        """What the client's heartbeat rests on, with the mistake that is chosen."""
        if self.spoil is None:
            return self._write(text, values)
        known = self._with_times(values or {})
        spoiled = spoil_text(bind(text, self._values), self.spoil)
        return template(spoiled).render({**known, **spoiled_ids(known["id"])})

    def _with_times(self, values: Mapping[str, bytes]) -> dict[str, bytes]:
        seconds = self._unix_time()
        self._number += 1
        return {
            "any": b"%d" % self._number,
            "counter": b"%d" % self._beaten,
            "id": b"%d" % self._number,
            "unix": b"%d" % seconds,
            "unix_text": b'"%d"' % seconds,
            "unix_ms": b"%d" % (seconds * 1000),
            "ping_interval_ms": b"18000",
            "symbol": b'"X"',
            **values,
        }

    def _say(self, text: bytes) -> Frame:
        match self.dialect.decoding.binary:
            case "gzip":
                return Frame("binary", gzip.compress(text, 1, mtime=0))
            case "json":
                return Frame("binary", text)
            case _:
                return Frame("text", text)


def _parse(text: bytes) -> object:
    return _decode(text) if text[:1] in (b"{", b"[") else text.decode()
