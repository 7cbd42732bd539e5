"""Decisions. No Trio, no clock, no randomness, no I/O, no logging: ``now`` and ``rng`` are arguments."""
