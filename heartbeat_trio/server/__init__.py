"""A server of quotes on TCP and WebSocket, which survives slow, hostile and vanished clients."""

from .serve import QuoteServer, ServerStatistics, serve_connection, serve_quotes
from .sources import ReplaySource, Source, SyntheticSource

__all__ = [
    "QuoteServer",
    "ReplaySource",
    "ServerStatistics",
    "Source",
    "SyntheticSource",
    "serve_connection",
    "serve_quotes",
]
