"""Trio streams that carry messages, all behind the one interface in `abc`."""
