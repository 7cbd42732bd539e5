#!/usr/bin/env python3
"""A client whose connections stay alive; the same as ``heartbeat-trio watch``. See ``--help``."""

import sys

from heartbeat_trio.cli import main

if __name__ == "__main__":
    main(["watch", *sys.argv[1:]])
