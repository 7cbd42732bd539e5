"""The source of jitter for all who bring none of their own: one for the process, as each takes 2.5 KiB."""

from __future__ import annotations

import os
from random import Random

CHANCE = Random()
"""Seeded by the system."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=CHANCE.seed)  # a child must not ping in step with its parent
