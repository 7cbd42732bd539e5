"""``heartbeat-trio serve``: run a quote server until it is told to stop."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import trio

from ..observe.jsonlines import encode
from ..observe.output import Output
from ..server import QuoteServer, Source, serve_quotes
from .common import check_duration, first_leaf, on_signals

if TYPE_CHECKING:
    import ssl

    from ..config import ServerPolicy
    from ..server import SqliteOrderBook


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What the command line asked for."""

    source: Source
    policy: ServerPolicy
    tcp: str | None
    ws: str | None
    token: str | None
    ssl_context: ssl.SSLContext | None
    allow_origins: tuple[str, ...]
    duration: float | None
    output: Literal["text", "json"]
    order_book: SqliteOrderBook | None = None


def serve(options: ServeOptions) -> int:
    """Serve until a signal or the end of `duration`; the exit code."""
    check_duration(options.duration)
    with Output(sys.stdout) as output, options.order_book or nullcontext():
        trio.run(_Serve(options, output).run)
    return 0


class _Serve:
    def __init__(self, options: ServeOptions, output: Output) -> None:
        self._options = options
        self._output = output
        self._stop = trio.Event()

    async def run(self) -> None:
        options = self._options
        task = partial(
            serve_quotes,
            options.source,
            tcp=options.tcp,
            ws=options.ws,
            policy=options.policy,
            token=options.token,
            ssl_context=options.ssl_context,
            allow_origins=options.allow_origins,
            orders=options.order_book,
        )
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(on_signals, self._stop.set, nursery.cancel_scope.cancel), name="signals")
                server: QuoteServer = await nursery.start(task, name="server")
                self._tell_listening(server)
                with trio.move_on_after(options.duration if options.duration is not None else float("inf")):
                    await self._stop.wait()
                self._tell("draining", f"stopping: {server.clients} clients are told", {"clients": server.clients})
                await server.drain()
                self._tell_stopped(server)
                nursery.cancel_scope.cancel()
        except ExceptionGroup as group:  # one error reaches the user; the others are consequences of it
            raise first_leaf(group) from group

    def _tell_listening(self, server: QuoteServer) -> None:
        where = " and ".join(f"{name} on {address}" for name, address in server.addresses.items())
        symbols = ", ".join(server.symbols[:10]) + (", ..." if len(server.symbols) > 10 else "")
        self._tell("listening", f"serving {symbols}: {where}. Ctrl-C stops.", dict(server.addresses))

    def _tell_stopped(self, server: QuoteServer) -> None:
        counts = server.statistics()
        text = (
            f"stopped: {counts.quotes} quotes, {counts.delivered} delivered to {counts.accepted} clients "
            f"({counts.refused} refused, {counts.dropped_idle} dropped as idle, {counts.dropped_slow} as too slow, "
            f"{counts.skipped} quotes skipped for slow ones)" + (f", {counts.orders} orders" if counts.orders else "")
        )
        fields = {name: getattr(counts, name) for name in counts.__struct_fields__ if name != "clients"}
        self._tell("stopped", text, fields)

    def _tell(self, event: str, text: str, fields: dict[str, object]) -> None:
        if self._options.output == "json":
            if event == "listening":  # the first line is for programs that look for the addresses, and nothing else
                self._output.put(encode(event, None, None, fields))
            else:
                self._output.put(encode(event, None, time.time(), fields))
        else:
            self._output.put(text)
