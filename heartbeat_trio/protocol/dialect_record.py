"""How a venue does heartbeats, subscriptions, limits and notices: one record, the same for every venue.

A dialect is data. `dialect_codec` speaks it, `dialect_schedule` turns it into policies, and the same record, mirrored, is
what a simulator of the venue needs. Durations are in seconds. Messages are templates (see `dialect_template`); the
placeholders that one may use are ``KNOWN`` and the dialect's own parameters.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .dialect_template import explain_template, template

Seconds = Annotated[float, Meta(gt=0, le=10_000_000)]
Count = Annotated[int, Meta(ge=1)]
Level = Literal["control", "text"]
Schedule = Literal["every", "inbound_idle", "outbound_idle", "negotiated"]
Reset = Literal["ping", "pong", "any_pong", "message", "control", "server_data"]
Action = Literal["rotate", "error", "resync", "info"]

KNOWN = frozenset(
    {"any", "id", "unix", "unix_ms", "unix_text", "symbol", "items", "channel", "text", "code", "counter"}
    | {"ping_interval_ms"}
)
"""Placeholders that every dialect may use. The times also name what a simulator puts where a server's value stands."""

Case = Literal["keep", "upper", "lower"]
"""How symbols are spelled."""

HOST = re.compile(r"(?:[a-z0-9][a-z0-9.\-]*|[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*)(?:/\S*)?")
"""What an endpoint's host, and the beginning of its path, can be."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the record's parts."""


class Probe(Part, frozen=True, kw_only=True):
    """How we ask.

    Args:
        level: A WebSocket control frame, or a text message (over TCP: a line).
        ping: The text; an id in it is ours.
        pongs: What may answer it, the likeliest first. One without an id answers the oldest unanswered ping.
        schedule: `every` interval; only after so much `inbound_idle` or `outbound_idle` time; or `negotiated`: as `every`,
            but the server's welcome may name the interval.
        interval: Seconds.
        timeout: Seconds that a pong may take.
        misses: Missed pongs, without a sign of life between them, that end a connection.
    """

    level: Level
    ping: str = ""
    pongs: tuple[str, ...] = ()
    schedule: Schedule = "every"
    interval: Seconds = 5.0
    timeout: Seconds = 3.0
    misses: Count = 3


class ServerPing(Part, frozen=True, kw_only=True):
    """How the server asks, and what it wants to hear.

    Args:
        level: A control frame (answered with the same payload), or a text message.
        ping: The text.
        reply: Our answer: what `ping` captured stands in it exactly as it came; ``$id`` is an id of our own.
        result: What the server says to that, if anything.
        period: Seconds between two, where known.
    """

    level: Level
    ping: str = ""
    reply: str = ""
    result: str = ""
    period: Seconds | None = None


class Beat(Part, frozen=True, kw_only=True):
    """A message that is life and needs no answer.

    Args:
        message: The text. ``$counter`` is +1 per beat.
        period: Seconds between two; None: it comes when it likes.
    """

    message: str
    period: Seconds | None = None


class Expectation(Part, frozen=True, kw_only=True):
    """When the absence of the server's pings or beats means that it is dead: after ``misses * period + grace`` seconds.

    Args:
        period: Seconds between two; the parameter `beat_interval` takes its place.
        misses: How many may be missing.
        grace: Seconds that one may be late.
        needs_subscription: Nothing is due before a subscription is acknowledged.
        data_counts: They may be left out where data flows, so any byte is as good.
    """

    period: Seconds
    misses: Count = 3
    grace: Seconds = 3.0
    needs_subscription: bool = False
    data_counts: bool = False


class ServerClock(Part, frozen=True, kw_only=True):
    """When the server drops a client.

    Args:
        deadline: Seconds on its clock; None: it has none, or nobody knows. With `unanswered`: seconds for each reply.
        resets: What sets that clock back: a client's `ping`, its `pong` that matches, `any_pong`, any `message` of it, any
            `control` frame of it, or `server_data`, what the server itself sends.
        unanswered: So many server pings in a row whose reply did not come in `deadline` seconds end the connection.
        code: The close code, where known.
    """

    deadline: Seconds | None = None
    resets: tuple[Reset, ...] = ()
    unanswered: Count | None = None
    code: Annotated[int, Meta(ge=1000, le=4999)] | None = None


class Opening(Part, frozen=True, kw_only=True):
    """What is said first.

    Args:
        messages: Sent as soon as the connection stands (and the welcome, if any, has come).
        welcome: Awaited before anything is sent. ``$ping_interval_ms`` in it is the interval to keep.
        subscribe_within: Seconds within which the server wants the first subscription.
    """

    messages: tuple[str, ...] = ()
    welcome: str = ""
    subscribe_within: Seconds | None = None


class Decoding(Part, frozen=True, kw_only=True):
    """What frames hold.

    Args:
        binary: Binary frames are refused, or hold UTF-8 `json`, `gzip` of it, or something `opaque` that is only life.
        banners: Texts that are no JSON and mean nothing.
    """

    binary: Literal["refuse", "json", "gzip", "opaque"] = "refuse"
    banners: tuple[str, ...] = ()


class NoticeRule(Part, frozen=True, kw_only=True):
    """What a message of the server's asks us to do.

    Args:
        message: How it looks; ``$code`` and ``$text`` in it are passed on.
        action: `rotate` (open another connection, then leave this one), `error`, `resync` (state before it is void), `info`.
        reason: In words.
    """

    message: str
    action: Action
    reason: str


class Subscriptions(Part, frozen=True, kw_only=True):
    """How symbols are subscribed to.

    Args:
        subscribe: The message, with ``$symbol``, or with ``[$items]`` for several symbols.
        unsubscribe: The same for the way back; "": there is none.
        item: One element of ``[$items]``.
        batch: Symbols in one message.
        channel: What ``$channel`` is unless a parameter says otherwise.
        case: How the venue spells symbols when it is asked ...
        data_case: ... and in its data, which is how everybody else sees them; None: in the same way.
        replaces: A subscription replaces the one before, so each message names all symbols.
        acks: What acknowledges: by ``$id``, by ``$symbol``, or, with neither, the oldest request.
        unsubscribe_acks: The same for the way back.
        rejections: What refuses; ``$text`` in it says why.
    """

    subscribe: str
    unsubscribe: str = ""
    item: str = ""
    batch: Count = 1
    channel: str = ""
    case: Case = "keep"
    data_case: Case | None = None
    replaces: bool = False
    acks: tuple[str, ...] = ()
    unsubscribe_acks: tuple[str, ...] = ()
    rejections: tuple[str, ...] = ()


class Limits(Part, frozen=True, kw_only=True):
    """What the venue allows; None: not known.

    Args:
        connects: Connections ...
        connect_period: ... in so many seconds.
        messages: Messages that a client may send ...
        message_period: ... in so many seconds ...
        messages_per: ... on one `connection`, or on all those of an `address` together.
        pings_count: Whether pings and pongs count among them.
        subscribes: Subscriptions and cancellations that a client may send ...
        subscribe_period: ... in so many seconds.
        channels: Subscriptions on one connection.
        frame_bytes: Bytes of a message from a client.
    """

    connects: Count | None = None
    connect_period: Seconds = 1.0
    messages: Count | None = None
    message_period: Seconds = 1.0
    messages_per: Literal["connection", "address"] = "connection"
    pings_count: bool = True
    subscribes: Count | None = None
    subscribe_period: Seconds = 1.0
    channels: Count | None = None
    frame_bytes: Count | None = None


class Dialect(Part, frozen=True, kw_only=True):
    """How one venue or protocol does heartbeats and messages.

    Args:
        name: Its name, as in ``#dialect=``; the key of its table.
        title: Its name for people.
        transport: What it is spoken over.
        speakable: Whether this package can speak it; else it is data for reference.
        hosts: Hosts, with a path where that tells dialects apart, that speak it: ``ws.kraken.com/v2``.
        id: What ``$id`` is: nothing, an integer, or a string.
        parameters: Values for placeholders of its own, by name, with their defaults; an endpoint may set them.
        probe: How we ping; None: the venue has no ping of its own.
        pingable: Whether it may be sent control pings where it has none of its own, for round trips and verdicts.
        server_pings: How the server pings.
        beats: Messages that are life and need no answer.
        expects: When the absence of server pings or beats means death.
        server_clock: When the server drops us.
        opening: What is said first.
        decoding: What frames hold.
        notices: What the server may ask for.
        subscriptions: How symbols are subscribed to.
        limits: What is allowed.
        max_age: Seconds after which the server ends any connection.
        quotes: Names the tables that make quotes of its data; "": there are none.
        notes: What else one must know.
        sources: Where all this stands.
        verified: Whether the heartbeat's core was read in a source.
        unverified: What was not.
        replaces_builtin: In a file of a user's: this one takes the place of the one that comes with the package.
    """

    name: str
    title: str
    transport: Literal["websocket", "tcp"] = "websocket"
    speakable: bool = True
    hosts: tuple[str, ...] = ()
    id: Literal["none", "int", "string"] = "none"
    parameters: dict[str, str | int | float] = {}
    probe: Probe | None = None
    pingable: bool = True
    server_pings: tuple[ServerPing, ...] = ()
    beats: tuple[Beat, ...] = ()
    expects: Expectation | None = None
    server_clock: ServerClock = ServerClock()
    opening: Opening = Opening()
    decoding: Decoding = Decoding()
    notices: tuple[NoticeRule, ...] = ()
    subscriptions: Subscriptions | None = None
    limits: Limits = Limits()
    max_age: Seconds | None = None
    quotes: str = ""
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    verified: bool = False
    unverified: tuple[str, ...] = ()
    replaces_builtin: bool = False


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a record, and in which field: its path in the file, indices as integers."""

    path: tuple[str | int, ...]
    problem: str


def check_dialect(dialect: Dialect) -> Fault | None:
    """What the types of the fields cannot say; None: nothing is wrong."""
    for index, host in enumerate(dialect.hosts):
        if not HOST.fullmatch(host):
            return Fault(
                ("hosts", index), f"{host!r} must be a host in lower case, without scheme and port: feed.example.com/v1"
            )
    for path, text, item in _texts(dialect):
        problem = explain_template(text, item)
        if problem is not None:
            return Fault(path, f"{text!r} {problem}")
        for name in sorted(template(text, item).names - KNOWN - dialect.parameters.keys()):
            known = ", ".join(f"${each}" for each in sorted(KNOWN | dialect.parameters.keys()))
            return Fault(path, f"unknown placeholder ${name} in {text!r}; known: {known}")
        if "$id" in text and dialect.id == "none":
            return Fault(path, '$id needs an id: set id = "int" or id = "string"')
    return _check_parts(dialect)


def _check_parts(dialect: Dialect) -> Fault | None:
    probe, expects = dialect.probe, dialect.expects
    if probe is not None and (probe.level == "text") != bool(probe.ping and probe.pongs):
        return Fault(("probe", "ping"), 'a ping of level "text" has a ping and pongs, one of level "control" has neither')
    for index, ping in enumerate(dialect.server_pings):
        if (ping.level == "text") != bool(ping.ping and ping.reply):
            return Fault(
                ("server_pings", index, "ping"),
                'a ping of level "text" has a ping and a reply, one of level "control" has neither',
            )
    if expects is not None and not dialect.server_pings and not dialect.beats:
        return Fault(("expects", "period"), "nothing can be expected without server_pings or beats")
    subscriptions = dialect.subscriptions
    if subscriptions is not None and subscriptions.batch > 1 and not subscriptions.item:
        return Fault(("subscriptions", "batch"), "several symbols in one message need an item")
    return None


def _texts(dialect: Dialect) -> list[tuple[tuple[str | int, ...], str, str]]:
    """Every template of a dialect, with its path and its item."""
    texts: list[tuple[tuple[str | int, ...], str, str]] = []
    if dialect.probe is not None:
        texts.append((("probe", "ping"), dialect.probe.ping, ""))
        texts += [(("probe", "pongs", index), pong, "") for index, pong in enumerate(dialect.probe.pongs)]
    for index, ping in enumerate(dialect.server_pings):
        fields = (("ping", ping.ping), ("reply", ping.reply), ("result", ping.result))
        texts += [(("server_pings", index, field), text, "") for field, text in fields]
    texts += [(("beats", index, "message"), beat.message, "") for index, beat in enumerate(dialect.beats)]
    texts += [(("opening", "messages", index), text, "") for index, text in enumerate(dialect.opening.messages)]
    texts.append((("opening", "welcome"), dialect.opening.welcome, ""))
    texts += [(("notices", index, "message"), notice.message, "") for index, notice in enumerate(dialect.notices)]
    subscriptions = dialect.subscriptions
    if subscriptions is not None:
        texts += [
            (("subscriptions", field), getattr(subscriptions, field), subscriptions.item)
            for field in ("subscribe", "unsubscribe")
        ]
        texts.append((("subscriptions", "item"), subscriptions.item, ""))
        texts += [
            (("subscriptions", field, index), text, subscriptions.item)
            for field in ("acks", "unsubscribe_acks", "rejections")
            for index, text in enumerate(getattr(subscriptions, field))
        ]
    return texts
