"""`Endpoint`: where to connect, read from a URL."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import SplitResult, parse_qsl, urlsplit

from .dialects import builtin_dialects, find_dialect, known_host, speakable_dialects
from .exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .protocol.dialect_record import Dialect

Engine = Literal["native", "trio-websocket"]

_DEFAULT_PORTS = {"ws": 80, "wss": 443, "tcp": None, "tcps": None}
_LINE_DIALECTS = ("lines", "tutorial")
_ENGINES = ("native", "trio-websocket")
_SAFE_HOST = re.compile(r"[A-Za-z0-9._:%\-]+")
_MAX_LABEL, _MAX_NAME = 63, 253
"""Characters (RFC 1035, 2.3.4): of a label, and of a name without the length bytes and the root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where to connect, parsed from a URL.

    Our own options stand in the fragment (``#dialect=...&engine=...``) and are never sent. ``str(endpoint)`` shows neither
    query nor fragment nor user info, so that it can be printed and logged.

    Args:
        scheme: `ws`, `wss`, `tcp`, or `tcps`.
        host: Name or address, without brackets.
        port: TCP port.
        path: For WebSocket, path and query as sent; "" otherwise.
        dialect: `lines` or `tutorial` over TCP; over WebSocket `ops`, or a venue's (``heartbeat-trio dialects`` lists them).
        engine: The WebSocket engine, `native` or `trio-websocket`.
        deflate: Whether permessage-deflate is offered, which the native engine can (``#deflate=on``). It saves bytes where
            messages are large, and costs time and memory with each.
        parameters: Values for the dialect's own parameters, such as `channel`.
        record: The dialect's record, where it is none of the package's own.
    """

    scheme: Literal["ws", "wss", "tcp", "tcps"]
    host: str
    port: int
    path: str = ""
    dialect: str = "lines"
    engine: Engine = "native"
    deflate: bool = False
    parameters: tuple[tuple[str, str | int | float], ...] = ()
    record: Dialect | None = field(default=None, repr=False, compare=False)

    @property
    def venue(self) -> Dialect | None:
        """What is known of the venue; None where one of our own protocols is spoken.

        Raises:
            ConfigError: There is no such dialect.
        """
        return find_dialect(self.dialect) if self.record is None else self.record

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in ("wss", "tcps")

    @property
    def is_websocket(self) -> bool:
        """Whether WebSocket is spoken, rather than lines."""
        return self.scheme in ("ws", "wss")

    @property
    def authority(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path.partition('?')[0]}"

    @classmethod
    def parse(cls, url: str | Endpoint, dialects: Mapping[str, Dialect] | None = None) -> Endpoint:
        """Read an endpoint from its URL; an `Endpoint` is returned as it is.

        Over WebSocket a well-known host speaks its venue's dialect unless the URL says otherwise, any other host `ops`.

        Args:
            url: The URL.
            dialects: Those that may be spoken, as `load_dialects` gives them; by default those of the package.

        Raises:
            ConfigError: The URL is no endpoint; the message names the part at fault and shows what would do.
        """
        if isinstance(url, Endpoint):
            return url
        example = "an endpoint looks like ws://host:port/path, wss://..., tcp://host:port or tcps://..."
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"endpoint {_printable(url)}: {error}; {example}") from error
        shown = _printable(url)
        if parts.scheme not in _DEFAULT_PORTS:
            raise ConfigError(f"endpoint {shown}: unknown scheme {_printable(parts.scheme)}; {example}")
        if not parts.hostname or not _SAFE_HOST.fullmatch(parts.hostname) or not _has_possible_labels(parts.hostname):
            raise ConfigError(f"endpoint {shown}: no usable host; {example}")
        if parts.username is not None or parts.password is not None:
            raise ConfigError(f"endpoint {shown}: user info is not supported; give a token with --token-file")
        port = port if port is not None else _DEFAULT_PORTS[parts.scheme]
        if not port:
            raise ConfigError(f"endpoint {shown}: a port from 1 to 65535 is needed; {example}")
        path = _path(parts, shown)
        options = _options(parts.fragment, shown)
        engine = options.pop("engine", "native") if path else "native"
        if engine not in _ENGINES:
            raise ConfigError(f"endpoint {shown}: engine={_printable(engine)} must be one of {', '.join(_ENGINES)}")
        deflate = _offers_deflate(options, path, engine, shown)
        if path:
            record = _venue(options, parts.hostname, path, dialects or builtin_dialects(), shown)
            name = "ops" if record is None else record.name
        else:
            record, name = None, options.pop("dialect", _LINE_DIALECTS[0])
            _check_dialect(name, _LINE_DIALECTS, shown)
        return cls(
            scheme=parts.scheme,  # type: ignore[arg-type]  # checked against _DEFAULT_PORTS
            host=parts.hostname,
            port=port,
            path=path,
            dialect=name,
            engine=engine,  # type: ignore[arg-type]  # checked against _ENGINES
            deflate=deflate,
            parameters=_parameters(options, record, shown),
            record=record,
        )


def parse_endpoints(endpoints: Iterable[str | Endpoint]) -> list[Endpoint]:
    """Read several endpoints.

    Raises:
        ConfigError: One is none, or they are a mere text, which would be taken letter by letter.
    """
    if isinstance(endpoints, str | Endpoint):
        raise ConfigError(f"endpoints = {_printable(str(endpoints))} must be a list of endpoints, even of one")
    return [Endpoint.parse(endpoint) for endpoint in endpoints]


def _has_possible_labels(host: str) -> bool:
    """Whether a host is an IPv6 address, or no name of which a resolver would say only that it is none."""
    name = host.removesuffix(".")
    return ":" in host or (len(name) <= _MAX_NAME and all(0 < len(label) <= _MAX_LABEL for label in name.split(".")))


def _options(fragment: str, shown: str) -> dict[str, str]:
    pairs = parse_qsl(fragment, keep_blank_values=True)
    options = dict(pairs)
    if len(options) < len(pairs):
        twice = next(name for name in options if sum(name == each for each, _ in pairs) > 1)
        raise ConfigError(f"endpoint {shown}: option {_printable(twice)} is given twice")
    return options


def _path(parts: SplitResult, shown: str) -> str:
    """Path and query as sent; "" where no WebSocket is spoken."""
    if parts.scheme in ("ws", "wss"):
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not path.isascii() or any(character <= " " for character in path):
            raise ConfigError(f"endpoint {shown}: the path must be printable ASCII without spaces; percent-encode it")
        return path
    if parts.path not in ("", "/") or parts.query:
        raise ConfigError(f"endpoint {shown}: a {parts.scheme}:// endpoint has no path and no query")
    return ""


def _offers_deflate(options: dict[str, str], path: str, engine: str, shown: str) -> bool:
    """Take the compression out of the options."""
    value = options.pop("deflate", "off")
    if value not in ("on", "off"):
        raise ConfigError(f"endpoint {shown}: deflate={_printable(value)} must be on or off")
    if value == "on" and not path:
        raise ConfigError(f"endpoint {shown}: deflate=on is for ws:// and wss://; leave it out")
    if value == "on" and engine != "native":
        raise ConfigError(f"endpoint {shown}: deflate=on needs the native engine; leave engine={engine} out")
    return value == "on"


def _venue(options: dict[str, str], host: str, path: str, dialects: Mapping[str, Dialect], shown: str) -> Dialect | None:
    """Take the dialect out of the options, or from a well-known host; None: our own operations."""
    name = options.pop("dialect", None) or known_host(host, path, dialects) or "ops"
    if name in dialects and not dialects[name].speakable:
        raise ConfigError(
            f"endpoint {shown}: dialect={_printable(name)} is here for reference only and cannot be spoken; choose one of "
            f"{', '.join(speakable_dialects(dialects))}"
        )
    _check_dialect(name, speakable_dialects(dialects), shown)
    return find_dialect(name, dialects)


def _check_dialect(name: str, choices: Sequence[str], shown: str) -> None:
    if name not in choices:
        raise ConfigError(f"endpoint {shown}: dialect={_printable(name)} must be one of {', '.join(choices)}")


def _parameters(options: dict[str, str], record: Dialect | None, shown: str) -> tuple[tuple[str, str | int | float], ...]:
    """The options that are left are the dialect's own parameters, each of its default's type."""
    known: dict[str, str | int | float] = {} if record is None else dict(record.parameters)
    if record is not None and record.subscriptions is not None and record.subscriptions.channel:
        known["channel"] = record.subscriptions.channel
    values: list[tuple[str, str | int | float]] = []
    for name, text in options.items():
        if name not in known:
            options_known = ", ".join(("dialect", "engine", "deflate", *known))
            raise ConfigError(f"endpoint {shown}: unknown option {_printable(name)}; known: {options_known}")
        value = text if isinstance(known[name], str) else _number(text)
        if value is None:
            raise ConfigError(f"endpoint {shown}: {name}={_printable(text)} must be like {known[name]!r}")
        values.append((name, value))
    return tuple(values)


def _number(text: str) -> float | None:
    """A number, whole where it is written so; None for what is none."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _printable(text: str) -> str:
    """Quote a user's text for a message, with control characters escaped and secrets (query, user info) left out."""
    text = text.partition("?")[0].partition("#")[0]
    scheme, separator, rest = text.partition("://")
    if separator and "@" in rest:
        text = f"{scheme}://{rest.rpartition('@')[2]}"
    return repr(text[:200])
