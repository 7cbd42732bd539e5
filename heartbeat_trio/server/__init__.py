"""A server of quotes on TCP and WebSocket, which survives slow, hostile and vanished clients."""

from .order_book import MemoryOrderBook, OrderBook, SqliteOrderBook
from .serve import QuoteServer, ServerStatistics, serve_connection, serve_quotes
from .sources import ReplaySource, Source, SyntheticSource

__all__ = [
    "MemoryOrderBook",
    "OrderBook",
    "QuoteServer",
    "ReplaySource",
    "ServerStatistics",
    "Source",
    "SqliteOrderBook",
    "SyntheticSource",
    "serve_connection",
    "serve_quotes",
]
