"""What weeks of journals say: how stable each connection was, what is a pattern, and what to change.

Needs the extra `analysis` (duckdb, numpy, scipy). `analyze` reads folders of journals and gives a `Report`.
"""

from __future__ import annotations

from importlib import import_module

from ..exceptions import ConfigError

for name in ("duckdb", "numpy", "scipy"):
    try:
        import_module(name)
    except ImportError as error:  # pragma: no cover - the extra is installed where the tests run
        raise ConfigError(f"analysis needs {name}: pip install 'heartbeat-trio[analysis]'") from error
