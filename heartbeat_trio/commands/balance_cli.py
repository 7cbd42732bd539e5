"""The options of ``heartbeat-trio balance``. Options in, exit code out; nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from ..config import BackoffPolicy, HeartbeatPolicy, RestartPolicy
from ..endpoint import Endpoint
from ..exceptions import ConfigError
from ..policies import BalancerPolicy

ORDERS = Group("Orders", sort_key=1)
CHOICE = Group("Which server", sort_key=2)
HEARTBEAT = Group("Heartbeat", sort_key=3)
RECONNECT = Group("Reconnecting", sort_key=4)
SECURITY = Group("Security", sort_key=5)
RUN = Group("Running", sort_key=6)

_DEFAULTS = BalancerPolicy()


def balance(
    *urls: str,
    orders_per_second: Annotated[float, Parameter(group=ORDERS)] = 1.0,
    symbol: Annotated[str, Parameter(group=ORDERS)] = "BTCUSD",
    order_book: Annotated[Path | None, Parameter(group=ORDERS)] = None,
    window: Annotated[int, Parameter(group=CHOICE)] = _DEFAULTS.window,
    min_gain: Annotated[float, Parameter(group=CHOICE)] = _DEFAULTS.min_gain,
    confirmations: Annotated[int, Parameter(group=CHOICE)] = _DEFAULTS.confirmations,
    dwell: Annotated[float, Parameter(group=CHOICE)] = _DEFAULTS.dwell,
    max_switches: Annotated[int, Parameter(group=CHOICE)] = _DEFAULTS.max_switches,
    probes: Annotated[int, Parameter(group=CHOICE)] = _DEFAULTS.probes,
    ejection: Annotated[float, Parameter(group=CHOICE)] = _DEFAULTS.ejection,
    ping_interval: Annotated[float, Parameter(group=HEARTBEAT)] = 5.0,
    pong_timeout: Annotated[float, Parameter(group=HEARTBEAT)] = 3.0,
    max_attempts: Annotated[int, Parameter(group=RECONNECT)] = 10,
    backoff_initial: Annotated[float, Parameter(group=RECONNECT)] = 1.0,
    backoff_maximum: Annotated[float, Parameter(group=RECONNECT)] = 30.0,
    token_file: Annotated[Path | None, Parameter(group=SECURITY)] = None,
    tls_ca: Annotated[Path | None, Parameter(group=SECURITY)] = None,
    seed: Annotated[int | None, Parameter(group=RUN)] = None,
    duration: Annotated[float | None, Parameter(group=RUN)] = None,
    output: Annotated[Literal["text", "json"], Parameter(group=RUN)] = "text",
) -> int:
    """Send test orders over several servers, each once, to the best one, and show what becomes of them.

    A warm session is kept to each server. When the best one fails, the next order leaves on another line at once; orders
    that were under way are ambiguous, are told, and are asked about at the servers that live.

    Example: heartbeat-trio balance tcp://127.0.0.1:8080 tcp://127.0.0.1:8081 --orders-per-second 20 --duration 30

    Exit codes: 0 all orders were answered; 1 some were not, or are ambiguous, doubled or lost, or none was acknowledged; 2
    usage; 3 gave up on every endpoint. A first Ctrl-C ends with the final table, a second one at once.

    Parameters
    ----------
    urls
        Servers of the same orders: tcp://host:port, tcps://, ws://host:port/path, wss://.
    orders_per_second
        Test orders, of quantity 1, for either side.
    symbol
        What is ordered.
    order_book
        The servers' book, if it is on this machine: doubled and lost orders are then counted in it.
    window
        Pings that a server's score is made of; those not in use are judged by 240, or by so many if that is more.
    min_gain
        Part by which another server must be better: 0.3 is 30 %.
    confirmations
        Pongs in a row that must find it so.
    dwell
        Seconds from one switch to the next, where nothing fails.
    max_switches
        Switches in any hour, where nothing fails.
    probes
        Pongs before a server may win.
    ejection
        Seconds for which a server that failed may not win, times the number of its failures.
    ping_interval
        Seconds from ping to ping.
    pong_timeout
        Seconds to wait for each pong.
    max_attempts
        Give up on a server after so many failed attempts in a row; 0: never.
    backoff_initial
        Seconds of the first full delay between attempts.
    backoff_maximum
        Seconds that no delay exceeds.
    token_file
        File with the token to show; sent over TLS or to this machine only.
    tls_ca
        Certificate authorities (PEM) to trust instead of the system's.
    seed
        Makes all jitter repeatable.
    duration
        Stop after so many seconds.
    output
        Lines for people, or JSON lines.
    """
    from ..protocol.wire import is_symbol
    from ..transports.tls import client_context
    from .balance import BalanceOptions, check_order_book
    from .balance import balance as run
    from .common import read_token

    if not urls:
        raise ConfigError("name at least one endpoint, such as tcp://127.0.0.1:8080")
    if not 0 < orders_per_second <= 10_000:
        raise ConfigError(f"--orders-per-second {orders_per_second} must be above 0 and at most 10000")
    if not is_symbol(symbol):
        raise ConfigError(f"--symbol {symbol!r} must be 1 to 64 of A-Z a-z 0-9 . _ - /")
    if order_book is not None:
        check_order_book(order_book)
    endpoints = tuple(Endpoint.parse(url.strip()) for part in urls for url in part.split(",") if url.strip())
    return run(
        BalanceOptions(
            endpoints=endpoints,
            policy=BalancerPolicy(
                window=window,
                patience=max(window, _DEFAULTS.patience),
                min_gain=min_gain,
                confirmations=confirmations,
                dwell=dwell,
                max_switches=max_switches,
                probes=probes,
                ejection=ejection,
                max_ejection=max(ejection, _DEFAULTS.max_ejection),
            ),
            heartbeat=HeartbeatPolicy(ping_interval=ping_interval, pong_timeout=pong_timeout, adaptive=True),
            backoff=BackoffPolicy(initial=backoff_initial, maximum=backoff_maximum),
            restart=RestartPolicy(max_attempts=max_attempts or None),
            orders_per_second=orders_per_second,
            symbol=symbol,
            order_book=order_book,
            token=read_token(token_file),
            ssl_context=client_context(tls_ca) if any(each.is_tls for each in endpoints) else None,
            seed=seed,
            duration=duration,
            output=output,
        )
    )
