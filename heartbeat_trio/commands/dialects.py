"""``heartbeat-trio dialects``: what is known of venues' heartbeats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from ..dialects import builtin_dialects, load_dialects
from ..exceptions import ConfigError
from ..observe.text import printable
from ..protocol.dialect_schedule import beat_policy, heartbeat_policy

if TYPE_CHECKING:
    from pathlib import Path

    from ..protocol.dialect_record import Dialect, Limits

HEAD = ("dialect", "who pings", "how", "we ping", "server's", "drops us", "messages", "lives")


def show_dialects(name: str | None, *, file: Path | None, output: Literal["text", "json"]) -> int:
    """Print all dialects as a table, or all that is known of one; the exit code.

    Raises:
        ConfigError: There is no dialect of that name, or the file is wrong.
    """
    dialects = builtin_dialects() if file is None else load_dialects(file)
    if name is not None and name not in dialects:
        raise ConfigError(f"dialect {name!r} is not known; choose one of {', '.join(dialects)}")
    if output == "json":
        shown: object = list(dialects.values()) if name is None else dialects[name]
        print(msgspec.json.encode(shown).decode())
    elif name is None:
        rows = [HEAD, *(_row(each) for each in dialects.values())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    else:
        print("\n".join(printable(line) for line in _page(dialects[name])))
    return 0


def _row(dialect: Dialect) -> tuple[str, ...]:
    limits = dialect.limits
    messages = "" if limits.messages is None else f"{limits.messages} / {_seconds(limits.message_period)}"
    name = dialect.name if dialect.speakable else f"({dialect.name})"
    periods = [ping.period for ping in dialect.server_pings] + [beat.period for beat in dialect.beats]
    period = next(filter(None, periods), None)
    return (
        name,
        _who(dialect),
        _how(dialect),
        _our_schedule(dialect),
        "" if period is None else _seconds(period),
        _clock(dialect),
        messages,
        "" if dialect.max_age is None else _seconds(dialect.max_age),
    )


def _who(dialect: Dialect) -> str:
    if dialect.server_pings:
        return "server" if dialect.probe is None else "both"
    return "client" if dialect.probe is not None else "beats"


def _how(dialect: Dialect) -> str:
    levels = {ping.level for ping in dialect.server_pings}
    if dialect.probe is not None:
        levels.add(dialect.probe.level)
    return " + ".join(sorted(levels)) or "text"


def _our_schedule(dialect: Dialect) -> str:
    policy = heartbeat_policy(dialect)
    if policy.schedule == "never":
        return "never"
    kind = {"inbound_idle": "idle ", "outbound_idle": "unsaid "}.get(policy.schedule, "")
    return f"{kind}{_seconds(policy.ping_interval)}{' or told' if policy.schedule == 'negotiated' else ''}"


def _clock(dialect: Dialect) -> str:
    clock = dialect.server_clock
    if clock.deadline is None:
        return ""
    return _seconds(clock.deadline) + ("" if clock.unanswered is None else f" x {clock.unanswered}")


def _seconds(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _page(dialect: Dialect) -> list[str]:
    """All that is known of one dialect, a line for each fact."""
    clock, opening = dialect.server_clock, dialect.opening
    lines = [f"{dialect.name}: {dialect.title}"]
    if not dialect.speakable:
        lines.append("  for reference only: this package cannot speak it")
    lines += [f"  host: {host}" for host in dialect.hosts]
    lines += _how_we_ping(dialect)
    for ping in dialect.server_pings:
        what = (
            "control frame, answered with its payload"
            if ping.level == "control"
            else f"{ping.ping} answered by {ping.reply}"
        )
        lines.append(f"  the server pings{_every(ping.period)}: {what}")
    lines += [f"  the server beats{_every(beat.period)}: {beat.message}" for beat in dialect.beats]
    beats = beat_policy(dialect)
    if beats is not None:
        lines.append(f"  without that it is dead after {_seconds(beats.bound)} of silence")
    if clock.deadline is not None:
        lines.append(f"  the server drops us: {_clock(dialect)}, set back by {', '.join(clock.resets) or 'nothing'}")
    lines += [f"  said first: {text}" for text in opening.messages]
    if opening.welcome:
        lines.append(f"  awaited first: {opening.welcome}")
    if opening.subscribe_within is not None:
        lines.append(f"  first subscription within {_seconds(opening.subscribe_within)}")
    if dialect.decoding.binary != "refuse":
        lines.append(f"  binary frames: {dialect.decoding.binary}")
    lines += [f"  notice ({each.action}): {each.message}: {each.reason}" for each in dialect.notices]
    if dialect.subscriptions is not None:
        lines.append(f"  subscribe: {dialect.subscriptions.subscribe}")
        case, data_case = dialect.subscriptions.case, dialect.subscriptions.data_case
        spelled = case if data_case is None else f"{case}, and {data_case} in data"
        lines.append(f"  channel: {dialect.subscriptions.channel or '-'}; symbols are spelled: {spelled}")
    lines.append(f"  quotes: {f'decoded as those of {dialect.quotes}' if dialect.quotes else 'not decoded'}")
    lines += [f"  parameter: {name}={value}" for name, value in dialect.parameters.items()]
    lines += [f"  limit: {each}" for each in _limits(dialect.limits)]
    if dialect.max_age is not None:
        lines.append(f"  any connection ends after {_seconds(dialect.max_age)}")
    lines += [f"  note: {note}" for note in dialect.notes]
    lines.append(f"  verified: {'yes' if dialect.verified else 'no'}")
    lines += [f"  not verified: {what}" for what in dialect.unverified]
    return lines + [f"  source: {source}" for source in dialect.sources]


def _limits(limits: Limits) -> list[str]:
    pings = "pings included" if limits.pings_count else "pings not counted"
    pings += " (all connections together)" if limits.messages_per == "address" else ""
    said = [
        None if limits.connects is None else f"{limits.connects} connects in {_seconds(limits.connect_period)}",
        None if limits.messages is None else f"{limits.messages} messages in {_seconds(limits.message_period)}, {pings}",
        None if limits.subscribes is None else f"{limits.subscribes} subscriptions in {_seconds(limits.subscribe_period)}",
        None if limits.channels is None else f"{limits.channels} channels on a connection",
        None if limits.frame_bytes is None else f"{limits.frame_bytes} bytes in a message of ours",
    ]
    return [each for each in said if each is not None]


def _how_we_ping(dialect: Dialect) -> list[str]:
    policy, probe = heartbeat_policy(dialect), dialect.probe
    if probe is None and not dialect.pingable:
        return ["  we never ping, unless a policy of yours says so: then with control frames"]
    if probe is None:
        return [f"  we ping {_our_schedule(dialect)}: control frame; anything else that comes keeps the connection"]
    what = "control frame" if probe.level == "control" else f"{probe.ping} answered by {' or '.join(probe.pongs)}"
    return [f"  we ping {_our_schedule(dialect)}: {what}", f"  a silent server is dead after {_seconds(policy.bound)}"]


def _every(period: float | None) -> str:
    return "" if period is None else f" every {_seconds(period)}"
