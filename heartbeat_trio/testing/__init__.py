"""A kit for testing heartbeats, bots and servers without sockets and without waiting.

`VirtualNetwork` gives connectors, listeners and every fault of a real network; `ScriptedPeer` is a server that does as a
test tells it, `ExchangeSimulator` one that does as an exchange does; under `run_deterministic` the same seed gives the same
trace. With `trio.testing.MockClock` a day of heartbeats takes seconds.

`make_up_journal` writes weeks of journals with planted truth, to see what an analysis makes of them.
"""

from ._determinism import run_deterministic
from ._made_up_truth import Truth
from .exchange import Dropped, ExchangeSimulator, SimulatedConnection
from .hosts import TraceEntry, VirtualHost
from .listener import VirtualListener
from .made_up import (
    Drift,
    HourlySlowdown,
    IdleKill,
    Law,
    LocalStalls,
    MissRate,
    Outages,
    PeriodicDisconnect,
    SlowEndpoint,
    Step,
    WeekdaySlowdown,
    make_up_journal,
)
from .network import VirtualNetwork
from .scripted import PeerConnection, ReceivedLine, ScriptedPeer, TutorialPeer
from .streams import VirtualStream, open_virtual_pair

__all__ = [
    "Drift",
    "Dropped",
    "ExchangeSimulator",
    "HourlySlowdown",
    "IdleKill",
    "Law",
    "LocalStalls",
    "MissRate",
    "Outages",
    "PeerConnection",
    "PeriodicDisconnect",
    "ReceivedLine",
    "ScriptedPeer",
    "SimulatedConnection",
    "SlowEndpoint",
    "Step",
    "TraceEntry",
    "Truth",
    "TutorialPeer",
    "VirtualHost",
    "VirtualListener",
    "VirtualNetwork",
    "VirtualStream",
    "WeekdaySlowdown",
    "make_up_journal",
    "open_virtual_pair",
    "run_deterministic",
]
