"""TLS over any byte stream, through `ssl` and `trio.SSLStream`. Verification cannot be switched off."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import trio

from ..exceptions import ConfigError
from .abc import ByteStream

if TYPE_CHECKING:
    from pathlib import Path


def client_context(ca_file: Path | str | None = None) -> ssl.SSLContext:
    """Make a verifying context of TLS 1.2 or newer, from the system's authorities or from a CA file instead.

    Raises:
        ConfigError: The CA file cannot be used; the message names it.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"CA file {ca_file}: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def server_context(certificate: Path | str, key: Path | str) -> ssl.SSLContext:
    """Make a server's context of TLS 1.2 or newer from PEM files.

    Raises:
        ConfigError: The files cannot be used; the message names them.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"certificate {certificate} with key {key}: {error}") from error
    return context


def wrap_tls(
    stream: trio.abc.Stream, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
) -> trio.SSLStream[trio.abc.Stream]:
    """Put TLS on top of a stream. The handshake happens with the first use, or with `do_handshake`.

    An end without a TLS goodbye is taken as an end (``https_compatible``): our own messages say whether it was orderly.
    """
    return trio.SSLStream(stream, context, server_hostname=server_hostname, server_side=server_side, https_compatible=True)


def bytes_below(stream: trio.abc.Stream) -> ByteStream | None:
    """Find the byte stream below layers like `trio.SSLStream`, or None if a stranger's stream lies there."""
    below: object = stream
    while below is not None and not isinstance(below, ByteStream):
        below = getattr(below, "transport_stream", None)
    return below
