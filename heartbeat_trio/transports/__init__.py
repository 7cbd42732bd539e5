"""Trio streams that carry messages, all behind the one interface in `abc`; `connect` puts them together."""
