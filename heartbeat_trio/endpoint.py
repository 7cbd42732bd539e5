"""`Endpoint`: where to connect, read from a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from .exceptions import ConfigError

Engine = Literal["native", "trio-websocket"]

_DEFAULT_PORTS = {"ws": 80, "wss": 443, "tcp": None, "tcps": None}
_DIALECTS = {"tcp": ("lines", "tutorial"), "ws": ("ops",)}
_OPTIONS = ("dialect", "engine")
_SAFE_HOST = re.compile(r"[A-Za-z0-9._:%\-]+")


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
        dialect: `lines` or `tutorial` over TCP, `ops` over WebSocket.
        engine: The WebSocket engine, `native` or `trio-websocket`.
    """

    scheme: Literal["ws", "wss", "tcp", "tcps"]
    host: str
    port: int
    path: str = ""
    dialect: str = "lines"
    engine: Engine = "native"

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
    def parse(cls, url: str | Endpoint) -> Endpoint:
        """Read an endpoint from its URL; an `Endpoint` is returned as it is.

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
        if not parts.hostname or not _SAFE_HOST.fullmatch(parts.hostname):
            raise ConfigError(f"endpoint {shown}: no usable host; {example}")
        if parts.username is not None or parts.password is not None:
            raise ConfigError(f"endpoint {shown}: user info is not supported; give a token with --token-file")
        port = port if port is not None else _DEFAULT_PORTS[parts.scheme]
        if not port:
            raise ConfigError(f"endpoint {shown}: a port from 1 to 65535 is needed; {example}")
        kind = parts.scheme[:3] if parts.scheme.startswith("tcp") else "ws"
        options = cls._options(parts.fragment, shown, kind)
        path = ""
        if kind == "ws":
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            if not path.isascii() or any(character <= " " for character in path):
                raise ConfigError(f"endpoint {shown}: the path must be printable ASCII without spaces; percent-encode it")
        elif parts.path not in ("", "/") or parts.query:
            raise ConfigError(f"endpoint {shown}: a {parts.scheme}:// endpoint has no path and no query")
        return cls(
            scheme=parts.scheme,  # type: ignore[arg-type]  # checked against _DEFAULT_PORTS
            host=parts.hostname,
            port=port,
            path=path,
            dialect=options.get("dialect", _DIALECTS[kind][0]),
            engine=options.get("engine", "native"),  # type: ignore[arg-type]  # checked by _options
        )

    @staticmethod
    def _options(fragment: str, shown: str, kind: str) -> dict[str, str]:
        options = dict(parse_qsl(fragment, keep_blank_values=True))
        for name, value in options.items():
            choices: tuple[str, ...] = ()
            if name == "dialect":
                choices = _DIALECTS[kind]
            elif name == "engine" and kind == "ws":
                choices = ("native", "trio-websocket")
            if not choices:
                raise ConfigError(f"endpoint {shown}: unknown option {_printable(name)}; known: {', '.join(_OPTIONS)}")
            if value not in choices:
                raise ConfigError(f"endpoint {shown}: {name}={_printable(value)} must be one of {', '.join(choices)}")
        return options


def _printable(text: str) -> str:
    """Quote a user's text for a message, with control characters escaped and secrets (query, user info) left out."""
    text = text.partition("?")[0].partition("#")[0]
    scheme, separator, rest = text.partition("://")
    if separator and "@" in rest:
        text = f"{scheme}://{rest.rpartition('@')[2]}"
    return repr(text[:200])
