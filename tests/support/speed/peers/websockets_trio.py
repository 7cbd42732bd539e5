"""websockets on Trio."""

from __future__ import annotations

from websockets.trio.client import connect

from ..worlds import TRIO
from .websockets_both import Websockets

_PEER = Websockets(TRIO, connect)
ingest, round_trip, scenario = _PEER.ingest, _PEER.round_trip, _PEER.scenario
