"""Cells are kept beside the journal, so that a file that has not changed is not read again.

Nothing here raises, but for `key_of` where the journal file itself cannot be read.

A file ``FOLDER/.cells/NAME.cells`` holds what `cells.FileCells` has, with a digest of itself and the key of the journal file
that it was made of: its size, its time, and a digest of its first and last bytes. What does not fit is made anew.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ..journal.files import FOLDER_MODE, MODE
from .cells import TABLES, FileCells

if TYPE_CHECKING:
    from pathlib import Path

FOLDER, SUFFIX = ".cells", ".cells"
FORMAT = 1
"""Raise it when cells of the same file come out otherwise than before."""
HEAD, TAIL = 1 << 16, 1 << 12
"""Bytes of a journal file that its key is made of."""
DIGEST = 16
MAGIC = b"heartbeat-trio cells\n"


class Key(msgspec.Struct, frozen=True):
    """By what a journal file is known not to have changed."""

    size: int
    changed: int
    digest: bytes
    format: int = FORMAT


class _Kept(msgspec.Struct):
    key: Key
    cells: FileCells


def key_of(path: Path) -> Key:
    """A journal file's key.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        digest = blake2b(file.read(HEAD), digest_size=DIGEST)
        file.seek(max(status.st_size - TAIL, 0))
        digest.update(file.read(TAIL))
    return Key(status.st_size, status.st_mtime_ns, digest.digest())


def read_cells(path: Path, key: Key) -> FileCells | None:
    """The cells that were kept of a journal file; None: there are none, or they are stale or damaged."""
    try:
        data = _place(path).read_bytes()
        body = data[len(MAGIC) + DIGEST :]
        if data[: len(MAGIC) + DIGEST] != MAGIC + _digest(body):
            return None
        kept = _decoder.decode(body)
    except (OSError, msgspec.MsgspecError):
        return None
    return kept.cells if kept.key == key and _is_whole(kept.cells) else None


def keep_cells(path: Path, key: Key, cells: FileCells) -> bool:
    """Keep them; False: the folder takes none."""
    place = _place(path)
    body = _encoder.encode(_Kept(key, cells))
    draft = place.with_name(f".{secrets.token_hex(8)}")
    try:
        place.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
        try:
            with open(draft, "wb", opener=_create) as file:
                file.write(MAGIC + _digest(body) + body)
            draft.replace(place)
        finally:
            draft.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def forget_others(folder: Path) -> None:
    """Remove cells of journal files that are gone."""
    with suppress(OSError):
        names = set(os.listdir(folder))  # noqa: PTH208 - names are all that is needed
        for place in (folder / FOLDER).glob("*" + SUFFIX):
            if place.name.removesuffix(SUFFIX) not in names:
                place.unlink()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Kept)


def _place(path: Path) -> Path:
    return path.parent / FOLDER / (path.name + SUFFIX)


def _create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL, MODE)


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=DIGEST).digest()


def _is_whole(cells: FileCells) -> bool:
    """Whether all columns of each table are there, with one length, and the tables fit together."""
    for name, dtypes in TABLES.items():
        packed = getattr(cells, name)
        if packed.keys() != dtypes.keys():
            return False
        sizes = {divmod(len(packed[column]), np.dtype(dtype).itemsize) for column, dtype in dtypes.items()}
        if len(sizes) != 1 or sizes.pop()[1]:
            return False
    rows, singles, sketches = cells.table("cells"), cells.table("singles"), cells.table("sketches")
    sessions = [*rows["session"].tolist()[-1:], *singles["session"].tolist()[-1:]]  # both are sorted by it
    return max(sessions, default=-1) < len(cells.sessions) and int(rows["buckets"].sum()) == len(sketches["bucket"])
