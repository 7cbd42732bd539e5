"""The command line: ``heartbeat-trio serve``, ``watch``, ``balance``, ``journal``, ``analyze``, ``dialects``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from .config import (
    BackoffPolicy,
    Jitter,
    LastStep,
    Liveness,
    Overflow,
    RestartPolicy,
    ServerPolicy,
    SilencePolicy,
)
from .endpoint import Endpoint
from .exceptions import ConfigError, HeartbeatTrioError, LocalProtocolError
from .observe.printable import printable

try:
    import cyclopts
    from cyclopts import Group, Parameter
except ImportError:  # pragma: no cover - the extra is installed where the tests run
    sys.exit("heartbeat-trio's commands need cyclopts and rich: pip install 'heartbeat-trio[cli]'")

from .commands.analyze_cli import analyze
from .commands.balance_cli import balance
from .commands.common import discard_stdout, replace_closed_streams

USAGE = 2

app = cyclopts.App(
    name="heartbeat-trio",
    help="Connections to quote servers that stay alive: serve, watch, balance orders, read what failed, learn from it.",
    help_format="rst",
    version_flags=["--version"],
    result_action="return_value",
)

LISTEN = Group("Where", sort_key=1)
QUOTES = Group("Quotes", sort_key=2)
CLIENTS = Group("Clients", sort_key=3)
HEARTBEAT = Group("Heartbeat", sort_key=2)
RECONNECT = Group("Reconnecting", sort_key=3)
SECURITY = Group("Security", sort_key=4)
RUN = Group("Running", sort_key=5)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _address(option: str, value: str) -> str | None:
    """Check a ``host:port``, or `none`."""
    if value == "none":
        return None
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"--{option} {value!r} must be host:port, such as 127.0.0.1:8080, or none")
    return value


@app.command
def serve(
    *,
    tcp: Annotated[str, Parameter(group=LISTEN)] = "127.0.0.1:8080",
    ws: Annotated[str, Parameter(group=LISTEN)] = "127.0.0.1:8765",
    symbols: Annotated[str, Parameter(group=QUOTES)] = "BTCUSD,ETHUSD",
    rate: Annotated[float, Parameter(group=QUOTES)] = 10.0,
    seed: Annotated[int | None, Parameter(group=QUOTES)] = None,
    replay: Annotated[Path | None, Parameter(group=QUOTES)] = None,
    venue: Annotated[str | None, Parameter(group=QUOTES)] = None,
    speed: Annotated[float, Parameter(group=QUOTES)] = 1.0,
    loop: Annotated[bool, Parameter(group=QUOTES, negative="")] = False,
    idle_timeout: Annotated[float, Parameter(group=CLIENTS)] = 30.0,
    max_clients: Annotated[int, Parameter(group=CLIENTS)] = 1024,
    outbound: Annotated[Overflow, Parameter(group=CLIENTS)] = "conflate",
    order_book: Annotated[Path | None, Parameter(group=CLIENTS)] = None,
    allow_origin: Annotated[str, Parameter(group=SECURITY)] = "",
    token_file: Annotated[Path | None, Parameter(group=SECURITY)] = None,
    tls_cert: Annotated[Path | None, Parameter(group=SECURITY)] = None,
    tls_key: Annotated[Path | None, Parameter(group=SECURITY)] = None,
    duration: Annotated[float | None, Parameter(group=RUN)] = None,
    output: Annotated[Literal["text", "json"], Parameter(group=RUN)] = "text",
) -> int:
    """Serve quotes over TCP lines and over WebSocket.

    Clients that stop pinging are dropped, slow ones are told what they missed, and all are told before it goes away.

    Example: heartbeat-trio serve --symbols BTCUSD,ETHUSD --rate 20

    Exit codes: 0 success; 1 an address cannot be used; 2 usage. A first Ctrl-C ends in good order, a second one at once.

    Parameters
    ----------
    tcp
        host:port of the line protocol; port 0 picks one, none switches it off.
    ws
        host:port of WebSocket; port 0 picks one, none switches it off.
    symbols
        Symbols of the synthetic quotes, comma separated.
    rate
        Synthetic quotes per second and symbol.
    seed
        Makes the synthetic prices repeatable.
    replay
        Serve a recording instead (lines of "time: message").
    venue
        Who wrote the recorded messages: binance-spot (or binance), binance-futures, bybit-v5, okx-v5, kraken-v1, kraken-v2,
        coinbase-exchange (or coinbase), coinbase-advanced, deribit, bitfinex, kucoin-classic, gate-v4, htx-spot, bitmex,
        hyperliquid, bitstamp, gemini-v2, crypto-com, bitget, upbit, dydx-v4.
    speed
        Replay so many times faster than it was recorded.
    loop
        Replay again and again.
    idle_timeout
        Seconds without a ping after which a client is dropped.
    max_clients
        Clients at once.
    outbound
        What happens to quotes for a client whose socket is full.
    order_book
        Take orders, and remember them in this file (SQLite); servers on one machine share it, so that each can answer for
        the others.
    allow_origin
        Origins of web pages that may connect, comma separated; by default none may.
    token_file
        File with the token that clients must show.
    tls_cert
        Certificate (PEM) for TLS on both.
    tls_key
        Its key (PEM).
    duration
        Stop after so many seconds.
    output
        Lines for people, or JSON lines; with json the first line tells the addresses.
    """
    from .commands.common import read_token
    from .commands.serve import ServeOptions
    from .commands.serve import serve as run
    from .server import ReplaySource, Source, SqliteOrderBook, SyntheticSource
    from .transports.tls import server_context

    if (tls_cert is None) != (tls_key is None):
        raise ConfigError("--tls-cert and --tls-key belong together")
    if (replay is None) != (venue is None):
        raise ConfigError("--replay and --venue belong together")
    source: Source = SyntheticSource(_split(symbols), rate=rate, seed=seed)
    if replay is not None and venue is not None:
        source = ReplaySource(replay, venue=venue, speed=speed, loop=loop)
    where = _address("tcp", tcp), _address("ws", ws)
    if where == (None, None):
        raise ConfigError("--tcp none and --ws none leave nothing to serve")
    context = None if tls_cert is None or tls_key is None else server_context(tls_cert, tls_key)
    return run(
        ServeOptions(
            source=source,
            policy=ServerPolicy(idle_timeout=idle_timeout, max_clients=max_clients, outbound=outbound),
            tcp=where[0],
            ws=where[1],
            token=read_token(token_file),
            ssl_context=context,
            allow_origins=_split(allow_origin),
            order_book=None if order_book is None else SqliteOrderBook(order_book),
            duration=duration,
            output=output,
        )
    )


@app.command
def watch(
    *urls: str,
    subscribe: Annotated[str, Parameter(group=QUOTES)] = "",
    ping_interval: Annotated[float | None, Parameter(group=HEARTBEAT)] = None,
    pong_timeout: Annotated[float | None, Parameter(group=HEARTBEAT)] = None,
    max_missed: Annotated[int | None, Parameter(group=HEARTBEAT)] = None,
    liveness: Annotated[Liveness, Parameter(group=HEARTBEAT)] = "any_inbound",
    adaptive: Annotated[bool, Parameter(group=HEARTBEAT, negative="")] = False,
    dialects: Annotated[Path | None, Parameter(group=HEARTBEAT)] = None,
    silence: Annotated[LastStep, Parameter(group=HEARTBEAT)] = "reconnect",
    connect_timeout: Annotated[float, Parameter(group=RECONNECT)] = 5.0,
    max_attempts: Annotated[int, Parameter(group=RECONNECT)] = 10,
    backoff_initial: Annotated[float, Parameter(group=RECONNECT)] = 1.0,
    backoff_maximum: Annotated[float, Parameter(group=RECONNECT)] = 30.0,
    jitter: Annotated[Jitter, Parameter(group=RECONNECT)] = "decorrelated",
    stable_after: Annotated[float, Parameter(group=RECONNECT)] = 60.0,
    token_file: Annotated[Path | None, Parameter(group=SECURITY)] = None,
    tls_ca: Annotated[Path | None, Parameter(group=SECURITY)] = None,
    stats_every: Annotated[float, Parameter(group=RUN)] = 60.0,
    record: Annotated[Path | None, Parameter(group=RUN)] = None,
    journal: Annotated[str | None, Parameter(group=RUN)] = None,
    alert: Annotated[tuple[str, ...], Parameter(group=RUN, negative="")] = (),
    seed: Annotated[int | None, Parameter(group=RUN)] = None,
    duration: Annotated[float | None, Parameter(group=RUN)] = None,
    output: Annotated[Literal["live", "text", "json"] | None, Parameter(group=RUN)] = None,
) -> int:
    """Keep connections to quote servers alive, and show how they are.

    A connection whose peer falls silent is called lost after at most max-missed * ping-interval + pong-timeout seconds
    (18 by default, an exchange's own by default where one is known), and restored with everything it was subscribed to.

    Example: heartbeat-trio watch tcp://127.0.0.1:8080 ws://127.0.0.1:8765/ --subscribe BTCUSD

    Exit codes: 0 some pong was received (or an exchange that cannot be pinged was connected to), or the reader of the output
    has gone; 1 none was; 2 usage; 3 gave up on every endpoint. A first Ctrl-C ends with the final statistics, a second one
    at once.

    Parameters
    ----------
    urls
        Where to connect: tcp://host:port, tcps://, ws://host:port/path, wss://. Options stand in the fragment:
        #dialect=okx-v5 (see the command dialects; well-known hosts pick theirs), #engine=trio-websocket, #deflate=on.
    subscribe
        Symbols, comma separated; without any it only pings.
    ping_interval
        Seconds from ping to ping: 5, or what suits the exchange.
    pong_timeout
        Seconds to wait for each pong: 3, or what suits the exchange.
    max_missed
        Pongs missed in a row, without any sign of life, that end a connection: 3, or what suits the exchange.
    liveness
        What counts as a sign of life: every byte, or pongs only.
    adaptive
        Probe at once when a pong is late: a dead peer is found in about 6 s, and at the latest as above.
    dialects
        File with dialects of your own (TOML), beside those of the command dialects.
    silence
        How far to go when the feed falls silent though the peer answers: none, probe, resubscribe, reconnect.
    connect_timeout
        Seconds that connecting may take, handshakes included.
    max_attempts
        Give up after so many failed attempts in a row; 0: never.
    backoff_initial
        Seconds of the first full delay between attempts.
    backoff_maximum
        Seconds that no delay exceeds.
    jitter
        How delays are spread.
    stable_after
        Seconds of life after which the delays begin anew.
    token_file
        File with the token to show; sent over TLS or to this machine only.
    tls_ca
        Certificate authorities (PEM) to trust instead of the system's.
    stats_every
        Seconds between two lines of statistics.
    record
        Append what comes to this file, as serve --replay reads it.
    journal
        Keep a journal in this folder: each ping, what went wrong and why. See heartbeat-trio journal.
    alert
        RULE=SINK, any number of times. Rules: lost, gave_up, degraded:10, p95:200ms, success:95%, gap, silence, gate,
        local_stall, clock_jump. Sinks: log, command:PROGRAM ARGUMENTS, webhook:URL, apprise:URL.
    seed
        Makes all jitter repeatable.
    duration
        Stop after so many seconds.
    output
        A live table (default on a terminal), lines for people, or JSON lines.
    """
    from .commands.common import make_journal_folder, read_token
    from .commands.watch import WatchOptions
    from .commands.watch import watch as run
    from .dialects import load_dialects
    from .observe.alerts import parse_alert
    from .protocol.dialect_schedule import merge_policy
    from .transports.tls import client_context

    if not urls:
        raise ConfigError("name at least one endpoint, such as tcp://127.0.0.1:8080")
    known = None if dialects is None else load_dialects(dialects)
    endpoints = tuple(Endpoint.parse(url, known) for part in urls for url in _split(part))
    asked = {"ping_interval": ping_interval, "pong_timeout": pong_timeout, "max_missed_pongs": max_missed}
    given = {"liveness": liveness} | {name: value for name, value in asked.items() if value is not None}
    given |= {"adaptive": True} if adaptive else {}
    if not 0 < stats_every <= 86_400:
        raise ConfigError(f"--stats-every {stats_every} must be above 0 and at most 86400 seconds")
    return run(
        WatchOptions(
            endpoints=endpoints,
            subscribe=_split(subscribe),
            heartbeats=tuple(merge_policy(each.venue, given, dict(each.parameters)) for each in endpoints),
            silence=SilencePolicy(last_step=silence),
            backoff=BackoffPolicy(initial=backoff_initial, maximum=backoff_maximum, jitter=jitter),
            restart=RestartPolicy(
                max_attempts=max_attempts or None, stable_after=stable_after, connect_timeout=connect_timeout
            ),
            stats_every=stats_every,
            record=record,
            journal=make_journal_folder(journal),
            alerts=tuple(parse_alert(text) for text in alert),
            token=read_token(token_file),
            ssl_context=client_context(tls_ca) if any(each.is_tls for each in endpoints) else None,
            seed=seed,
            duration=duration,
            output=output or ("live" if sys.stdout.isatty() else "text"),
        )
    )


@app.command
def journal(
    folder: Path,
    *,
    since: str | None = None,
    cause: str | None = None,
    endpoint: str | None = None,
    output: Literal["text", "json"] = "text",
) -> int:
    """Show what went wrong, from the journals in a folder: whose fault it was, and what to do.

    Example: heartbeat-trio journal ./journal --since 2h --cause LOCAL_STALL

    Exit codes: 0 success, or the reader of the output has gone; 1 the output cannot be written; 2 usage; 130 Ctrl-C.

    Parameters
    ----------
    folder
        Where watch --journal wrote. A client may be writing still.
    since
        Only what happened since then: 2026-11-24, 2026-11-24T10:00 (UTC), or 30m, 2h, 7d ago.
    cause
        Only this one: LOCAL_STALL, PATH_DEAD, PEER_SILENT, PEER_SLOW, WRITER_BLOCKED, or a loss such as reset.
    endpoint
        Only endpoints with this in their URL.
    output
        Lines for people, or JSON lines.
    """
    from .commands.journal import show_journal

    return show_journal(folder, since=since, cause=cause, endpoint=endpoint, output=output)


@app.command
def dialects(name: str | None = None, *, file: Path | None = None, output: Literal["text", "json"] = "text") -> int:
    """Show how exchanges do heartbeats: who pings, how, how often, what they allow. With a name, all that is known.

    Names in brackets are for reference only. Nothing here was tried against a live exchange; each names its sources, and
    what in it is not verified.

    Example: heartbeat-trio dialects okx-v5

    Exit codes: 0 success, or the reader of the output has gone; 1 the output cannot be written; 2 usage, or a wrong file.

    Parameters
    ----------
    name
        Show this one.
    file
        Add the dialects of a file of your own (TOML).
    output
        Lines for people, or JSON.
    """
    from .commands.dialects import show_dialects

    return show_dialects(name, file=file, output=output)


app.command(balance)
app.command(analyze)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code; what the user can mend is one line on standard error."""
    replace_closed_streams()
    try:
        code = app(arguments, exit_on_error=False)
    except (ConfigError, LocalProtocolError) as error:
        _fail(str(error), USAGE)
    except cyclopts.CycloptsError:
        sys.exit(USAGE)  # cyclopts has said why
    except BrokenPipeError:  # whoever reads has seen enough, `head` for one
        discard_stdout()
        sys.exit(0)
    except (HeartbeatTrioError, OSError) as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        sys.exit(130)
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _fail(text: str, code: int) -> None:
    shown = "\n".join(printable(line) for line in text.split("\n"))  # it may quote a file or a peer
    print(f"heartbeat-trio: {shown}", file=sys.stderr)
    sys.exit(code)
