"""``python -m heartbeat_trio``: the same as ``heartbeat-trio``."""

from .cli import main

if __name__ == "__main__":
    main()
