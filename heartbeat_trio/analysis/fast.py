"""Reads the lines that our own writer writes, which are nearly all there are, through DuckDB on all cores.

It takes only lines whose text is exactly as `journal.records.ping_line` and `statistics` are written; every other line is
judged by `Rows.add`, and a file in which DuckDB does not find each line is read without it.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import duckdb

from .rows import COLUMNS, LETTERS, STALL, UNKNOWN, Rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SMALL = 1 << 18
"""Bytes of a file below which it is not worth the trouble."""
LARGE = 1 << 28
"""Bytes above which it is not tried, since the result would not fit in `MEMORY`; our own files end at 64 MiB."""
MEMORY = "400MB"
CHUNK = 1 << 20
PATIENCE = 0.1

_COUNT = r"(?:0|[1-9]\d{0,8})"
_TIME = rf"(?:null|-?{_COUNT})"
_PLAIN = r"[ !#-+\--\[\]-~]*"
"""ASCII without quotation marks, backslashes and commas: what JSON and a list need not escape."""
PING = (
    rf'\["p","{_PLAIN}",{_COUNT},{_COUNT},-?(?:0|[1-9]\d{{0,14}}),{_TIME},"[{LETTERS}]"'
    rf'(?:,{_TIME}(?:,(?:null|true|false)(?:,{_TIME}(?:,{_TIME}(?:,(?:null|"[A-Z_]*"))?)?)?)?)?\]'
)
_NUMBER = r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,17})?(?:e-?\d{1,2})?"
_TEXT = r"[ !#-\[\]-~]*"
STATISTICS = (
    r'\{"event":"statistics","at":"\d\d\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"'
    rf',"t":-?{_COUNT}(?:\.\d{{1,6}})?,"session":"{_TEXT}","endpoint":"{_TEXT}"'
    rf'(?:,"(?:[a-z][a-z0-9_]*)":(?:null|true|false|{_NUMBER}))*\}}'
)

_PARSE = f"""
CREATE TEMP TABLE parsed AS
WITH lines AS (
    SELECT l FROM read_csv($path, columns = {{'l': 'VARCHAR'}}, delim = '\x02', quote = '', escape = '', header = false,
                           auto_detect = false, new_line = '\\n', buffer_size = 8000000)
), beginnings AS (
    SELECT l, CASE WHEN starts_with(l, '{{"event":"statistics",') THEN string_split(l[1:600], '"') END AS s FROM lines
), kinds AS (
    SELECT l, s, CASE WHEN regexp_full_match(l, $ping) THEN 'p'
                      WHEN s[19] IS NOT NULL AND regexp_full_match(l, $statistics) THEN 's' ELSE 'o' END AS kind
    FROM beginnings
), fields AS (
    SELECT kind, s, CASE kind WHEN 'p' THEN string_split(l[6:-2], ',') END AS f,
           CASE kind WHEN 'o' THEN coalesce(l, '') END AS line
    FROM kinds
)
SELECT kind, line, coalesce(f[1][2:-2], s[14]) AS session, s[18] AS endpoint,
       epoch_us(try_cast(s[8] AS TIMESTAMP)) AS moment, try_cast(s[11][2:-2] AS DOUBLE) AS seconds,
       try_cast(f[2] AS INTEGER) AS connection, try_cast(f[3] AS INTEGER) AS ping, try_cast(f[4] AS BIGINT) AS t,
       try_cast(f[5] AS INTEGER) AS sent_after, try_cast(f[7] AS INTEGER) AS rtt, try_cast(f[9] AS INTEGER) AS first_in,
       try_cast(f[10] AS INTEGER) AS last_in,
       (strpos('{LETTERS}', f[6][2]) - 1)::TINYINT AS fate,
       (CASE f[8] WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE -1 END)::TINYINT AS exact,
       (coalesce(f[11], '') = '"{STALL}"')::TINYINT AS blamed
FROM fields
"""  # noqa: S608 - of our own constants
_DURATIONS = ("sent_after", "rtt", "first_in", "last_in")
_PINGS = f"""
SELECT enum_code(session::names)::INTEGER AS session,
       {", ".join(f"coalesce({name}, {UNKNOWN}) AS {name}" if name in _DURATIONS else name for name in list(COLUMNS)[1:])}
FROM parsed WHERE kind = 'p'
"""  # noqa: S608 - of our own constants


def read_fast(path: Path, size: int, tick: Callable[[int], None]) -> Rows | None:
    """All records of a plain file; None: read it without.

    Args:
        path: Not compressed.
        size: Bytes that it had; if it has grown since, the answer may be None.
        tick: Called some ten times a second; the last time with `size`.
    """
    if not SMALL <= size <= LARGE:
        return None
    lines = _count_lines(path, size)
    settings: dict[str, Any] = {
        "memory_limit": MEMORY,
        "threads": max(2, min(os.cpu_count() or 2, 8)),
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    try:
        with duckdb.connect(config=settings) as connection:
            texts = {"path": _literal(path), "ping": PING, "statistics": STATISTICS}
            _run(connection, _PARSE, texts, tick)
            rows = _collect(connection) if _one(connection, "SELECT count(*) FROM parsed") == lines else None
    except duckdb.Error:  # bytes that are no text, lines without end: what Python reads line by line
        return None
    if rows is not None:
        tick(size)
    return rows


def _collect(connection: duckdb.DuckDBPyConnection) -> Rows:
    rows = Rows()
    connection.execute("CREATE TEMP TYPE names AS ENUM (SELECT DISTINCT session FROM parsed WHERE kind = 'p' ORDER BY 1)")
    for (name,) in connection.execute("SELECT unnest(enum_range(NULL::names))").fetchall():
        rows.names[name] = len(rows.names)
    rows.add_columns(dict(connection.execute(_PINGS).fetchnumpy()))
    found = connection.execute("SELECT session, endpoint, seconds, moment FROM parsed WHERE kind = 's'").fetchall()
    for session, endpoint, seconds, at in found:
        rows.add_statistics(session, endpoint, seconds, at)
    others = connection.execute("SELECT line FROM parsed WHERE kind = 'o'")
    while batch := others.fetchmany(1024):
        for (line,) in batch:
            rows.add(line.encode())
    return rows


def _run(connection: duckdb.DuckDBPyConnection, query: str, values: dict[str, str], tick: Callable[[int], None]) -> None:
    """A query in a thread, so that the progress is told, and Ctrl-C heard, meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(connection.execute, query, values)
        try:
            while not wait([future], PATIENCE).done:
                tick(0)
        except BaseException:
            connection.interrupt()
            raise
        future.result()


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> object:
    row = connection.execute(query).fetchone()
    return row and row[0]


def _literal(path: Path) -> str:
    """A path in which nothing stands for other letters."""
    return "".join(f"[{each}]" if each in "*?[" else each for each in str(path.absolute()))


def _count_lines(path: Path, size: int) -> int:
    """Lines in so many bytes; the last one needs no end."""
    lines, last = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(min(CHUNK, size)):
            size -= len(chunk)
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    return lines + (last != b"\n")
