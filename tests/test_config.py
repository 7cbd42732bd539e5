"""Impossible policies and endpoints are refused when they are built, by name and value."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio import open_balancer, open_fleet, open_redundant_feed
from heartbeat_trio.config import (
    BackoffPolicy,
    GatePolicy,
    HeartbeatPolicy,
    InboxPolicy,
    RestartPolicy,
    ServerPolicy,
    SilencePolicy,
)
from heartbeat_trio.endpoint import Endpoint
from heartbeat_trio.exceptions import ConfigError
from heartbeat_trio.policies import BalancerPolicy, RedundantPolicy, RotationPolicy, VenueLimits


@pytest.mark.parametrize(
    ("policy", "field", "value"),
    [
        (HeartbeatPolicy, "ping_interval", 0),
        (HeartbeatPolicy, "ping_interval", math.nan),
        (HeartbeatPolicy, "ping_interval", "5"),
        (HeartbeatPolicy, "pong_timeout", 301),
        (HeartbeatPolicy, "max_missed_pongs", 0),
        (HeartbeatPolicy, "max_missed_pongs", 2.5),
        (HeartbeatPolicy, "liveness", "often"),
        (HeartbeatPolicy, "max_pongless", -1),
        (HeartbeatPolicy, "max_pongless", 1e301),
        (BackoffPolicy, "initial", 0),
        (BackoffPolicy, "factor", 0.5),
        (BackoffPolicy, "maximum", 0.5),
        (BackoffPolicy, "jitter", "some"),
        (BackoffPolicy, "first_maximum", -1),
        (RestartPolicy, "max_attempts", 0),
        (RestartPolicy, "intensity", True),
        (RestartPolicy, "connect_timeout", math.inf),
        (InboxPolicy, "size", 0),
        (InboxPolicy, "overflow", "block"),
        (ServerPolicy, "max_clients", 0),
        (ServerPolicy, "retry_after", 301),
        (ServerPolicy, "control_limit", 10),
        (ServerPolicy, "deflate", "on"),
        (SilencePolicy, "factor", 0.9),
        (RedundantPolicy, "wait", -0.1),
        (RedundantPolicy, "window", 1.9),
        (RedundantPolicy, "patience", 0.2),
        (RedundantPolicy, "max_held", 0),
        (RotationPolicy, "max_age", 0),
        (RotationPolicy, "margin", 0.95),
        (RotationPolicy, "jitter", 0.05),
        (RotationPolicy, "degraded_misses", 0),
        (RotationPolicy, "degraded_for", 0),
        (RotationPolicy, "stable_after", -1),
        (RotationPolicy, "overlap", math.inf),
        (RotationPolicy, "timeout", 0),
        (RotationPolicy, "intensity", 0),
        (RotationPolicy, "period", 0),
        (VenueLimits, "connects", 0),
        (VenueLimits, "messages", 2.5),
        (VenueLimits, "connect_period", 0),
        (VenueLimits, "message_period", -1),
        (VenueLimits, "share", 0),
        (VenueLimits, "share", 1.1),
        (SilencePolicy, "minimum", 0),
        (SilencePolicy, "maximum", 0.5),
        (SilencePolicy, "unconfirmed_after", 0),
        (SilencePolicy, "unconfirmed_after", math.inf),
        (SilencePolicy, "last_step", "restart"),
        (BalancerPolicy, "window", 0),
        (BalancerPolicy, "confirmations", 1.5),
        (BalancerPolicy, "max_switches", 0),
        (BalancerPolicy, "probes", True),
        (BalancerPolicy, "miss_penalty", -0.1),
        (BalancerPolicy, "min_gain", 1.0),
        (BalancerPolicy, "min_gain_seconds", math.nan),
        (BalancerPolicy, "dwell", -1),
        (BalancerPolicy, "ejection", math.inf),
        (BalancerPolicy, "max_ejection", 29),
        (BalancerPolicy, "forgive_after", 0),
        (BalancerPolicy, "slow_start", "long"),
        (BalancerPolicy, "remember_orders", 59),
        (GatePolicy, "open_after", -0.1),
        (GatePolicy, "close_after", "never"),
        (GatePolicy, "hysteresis", 0.95),
        (GatePolicy, "hysteresis", -0.1),
        (GatePolicy, "max_data_age", 0),
        (GatePolicy, "max_data_age", math.nan),
    ],
)
def test_impossible_policy_names_field_and_value(policy: type[Any], field: str, value: object) -> None:
    """Whoever reads the message knows what to change."""
    with pytest.raises(ConfigError) as caught:
        policy(**{field: value})

    assert f"{policy.__name__}.{field} = {value!r}" in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("field", ["ping_interval", "max_missed_pongs", "max_probes", "max_pongless"])
@pytest.mark.parametrize("digits", [400, 5000])
def test_integers_beyond_all_floats_are_refused(field: str, digits: int) -> None:
    """Also one that Python would not even write out: no arithmetic with it can fail later."""
    with pytest.raises(ConfigError, match=rf"HeartbeatPolicy\.{field} = 0x[0-9a-f]+\.\.\. must be"):
        HeartbeatPolicy(**{field: 10**digits})


@pytest.mark.parametrize(
    "policy",
    [
        SilencePolicy(factor=1, minimum=2.0, maximum=2.0, last_step="none"),
        GatePolicy(open_after=0, close_after=0, hysteresis=0.9, max_data_age=0.001),
        GatePolicy(hysteresis=0),
    ],
)
def test_the_limits_themselves_are_possible(policy: SilencePolicy | GatePolicy) -> None:
    """At least and at most include the limit, and equal policies are one: a gate is asked for by its policy."""
    assert policy == replace(policy)
    assert len({policy, replace(policy)}) == 1


def test_bound_of_the_defaults() -> None:
    """5/3/3 finds a dead peer within 18 s."""
    assert HeartbeatPolicy().bound == 18.0


@pytest.mark.parametrize(
    ("url", "shown", "path", "port", "dialect", "engine"),
    [
        ("ws://127.0.0.1:8765/", "ws://127.0.0.1:8765/", "/", 8765, "ops", "native"),
        ("wss://host/ws?token=x", "wss://host:443/ws", "/ws?token=x", 443, "ops", "native"),
        ("ws://host#engine=trio-websocket", "ws://host:80/", "/", 80, "ops", "trio-websocket"),
        ("tcp://[::1]:9#dialect=tutorial", "tcp://[::1]:9", "", 9, "tutorial", "native"),
        ("tcps://host:1/", "tcps://host:1", "", 1, "lines", "native"),
    ],
)
def test_endpoint(url: str, shown: str, path: str, port: int, dialect: str, engine: str) -> None:
    """Our options stand in the fragment and are never sent; query and fragment are never shown."""
    endpoint = Endpoint.parse(url)

    assert shown == str(endpoint)
    assert (path, port, dialect, engine) == (endpoint.path, endpoint.port, endpoint.dialect, endpoint.engine)
    assert endpoint is Endpoint.parse(endpoint)
    assert endpoint.is_tls == url.startswith(("wss", "tcps"))
    assert endpoint.is_websocket == url.startswith("ws")


@pytest.mark.parametrize(
    ("url", "deflate"),
    [
        ("ws://host/", False),
        ("wss://host/#deflate=on", True),
        ("ws://host/#engine=native&deflate=on", True),
        ("ws://host/#engine=trio-websocket&deflate=off", False),
    ],
)
def test_compression_is_asked_for(url: str, deflate: bool) -> None:
    """By default it is not."""
    assert Endpoint.parse(url).deflate is deflate


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://host/", "unknown scheme 'http'"),
        ("host:80", "unknown scheme"),
        ("tcp://host", "a port from 1 to 65535 is needed"),
        ("tcp://host:0", "a port from 1 to 65535 is needed"),
        ("tcp://host:99999", "out of range"),
        ("tcp://:80", "no usable host"),
        ("tcp://host:80/path", "has no path"),
        ("ws://me:secret@host/", "user info is not supported"),
        ("ws://host/a b", "percent-encode"),
        ("ws://host/#dialect=tutorial", "must be one of ops"),
        ("tcp://host:1#engine=native", "unknown option 'engine'"),
        ("ws://host/#speed=9", "unknown option 'speed'"),
        ("ws://host/#dialect=okx-v5&dialect=ops", "option 'dialect' is given twice"),
        ("ws://host/#deflate=yes", "deflate='yes' must be on or off"),
        ("tcp://host:1#deflate=on", "deflate=on is for ws:// and wss://; leave it out"),
        ("ws://host/#deflate=on&engine=trio-websocket", "leave engine=trio-websocket out"),
        ("ws://ho st/", "no usable host"),
        ("ws://[::1/", "Invalid IPv6"),
        ("tcp://a..b:1", "no usable host"),
        ("ws://.a.com/", "no usable host"),
        ("tcp://.:1", "no usable host"),
        (f"tcp://{'x' * 64}.com:1", "no usable host"),
        (f"tcp://{'x.' * 126}xx:1", "no usable host"),
    ],
)
def test_wrong_endpoint_says_why_and_shows_no_secret(url: str, reason: str) -> None:
    """Every message names the part at fault."""
    with pytest.raises(ConfigError, match=reason) as caught:
        Endpoint.parse(url)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["a.b.", "a_b", "127.0.0.1", f"{'x' * 63}.com", "x." * 126 + "x", "x." * 126 + "x."])
def test_names_of_the_greatest_length_are_hosts(host: str) -> None:
    """63 characters a label, 253 a name, and the root's dot."""
    assert Endpoint.parse(f"tcp://{host}:1").host == host


@given(st.text(max_size=60))
def test_any_text_is_an_endpoint_or_a_config_error(text: str) -> None:
    """No other exception, and no control character in the message."""
    for url in (text, f"ws://{text}", f"tcp://{text}"):
        try:
            Endpoint.parse(url)
        except ConfigError as error:
            assert str(error).isprintable()


async def test_one_endpoint_is_no_list_of_endpoints() -> None:
    """A URL would be taken letter by letter; the remedy is named instead."""
    for one in ("tcp://127.0.0.1:1", Endpoint.parse("tcp://127.0.0.1:1")):
        for opened in (open_redundant_feed(one), open_balancer(one)):  # type: ignore[arg-type]
            with pytest.raises(ConfigError, match=r"'tcp://127.0.0.1:1' must be a list of endpoints, even of one"):
                await opened.__aenter__()


async def test_limits_of_a_venue_are_checked_at_once() -> None:
    """Not when the first session is added."""
    with pytest.raises(ConfigError, match=r"limits\['127.0.0.1'\] = 300 must be VenueLimits"):
        await open_fleet(limits={"127.0.0.1": 300}).__aenter__()  # type: ignore[dict-item]
