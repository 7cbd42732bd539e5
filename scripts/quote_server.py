#!/usr/bin/env python3
"""A server of quotes on TCP and WebSocket; the same as ``heartbeat-trio serve``. See ``--help``."""

import sys

from heartbeat_trio.cli import main

if __name__ == "__main__":
    main(["serve", *sys.argv[1:]])
