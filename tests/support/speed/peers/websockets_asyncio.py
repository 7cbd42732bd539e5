"""websockets on asyncio."""

from __future__ import annotations

from websockets.asyncio.client import connect

from ..worlds import ASYNCIO
from .websockets_both import Websockets

_PEER = Websockets(ASYNCIO, connect)
ingest, round_trip, scenario = _PEER.ingest, _PEER.round_trip, _PEER.scenario
