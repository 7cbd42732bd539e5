"""Trio streams that carry messages, all behind the one interface in `abc`."""

from .connect import connect_transport

__all__ = ["connect_transport"]
