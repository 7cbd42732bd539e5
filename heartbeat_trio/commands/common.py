"""What the commands share: signals, token files, and where lines go."""

from __future__ import annotations

import os
import signal
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from ..exceptions import ConfigError
from ..journal.files import FOLDER_MODE

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..observe.output import Output

OUTPUT_CHECK = 0.25
"""Seconds between two looks whether the output failed."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def read_token(path: Path | None) -> str | None:
    """Read a token's file, without its last line end.

    Raises:
        ConfigError: It cannot be read, or holds no token.
    """
    if path is None:
        return None
    try:
        token = path.read_text(encoding="utf-8").rstrip("\r\n")
        is_open_to_others = bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"token file {path}: {error}") from error
    if not token or not token.isprintable() or " " in token:
        raise ConfigError(f"token file {path}: it must hold one token of printable characters without spaces")
    if is_open_to_others:
        warn(f"token file {path} can be read by others: chmod 600 {path}")
    return token


def warn(text: str) -> None:
    """Tell people, on standard error."""
    print(f"warning: {text}", file=sys.stderr)


def discard_stdout() -> None:
    """Nobody can be told anything there any more; without this, Python would try once more at its end, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def check_duration(seconds: float | None) -> None:
    """Check how long a command is to run.

    Raises:
        ConfigError: It is no such number.
    """
    if seconds is not None and not seconds >= 0:  # as written it refuses NaN too
        raise ConfigError(f"--duration {seconds} must be at least 0 seconds")


def make_journal_folder(text: str | None) -> Path | None:
    """Make the folder of a journal, so that a wrong one is told at once and not only in the log.

    Raises:
        ConfigError: It is none, or cannot be made.
    """
    if text is None:
        return None
    if not text:
        raise ConfigError("--journal '' must be a folder, such as ./journal")
    try:
        Path(text).mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--journal {text!r} must be a folder that can be made: {error}") from error
    return Path(text)


def replace_closed_streams() -> None:
    """Whoever closed them (``>&-``) wants to hear nothing; Python has None there, which cannot be written to."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as the program runs
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


async def on_signals(first: Callable[[], None], second: Callable[[], None]) -> None:
    """Call `first` at the first SIGINT or SIGTERM, `second` at the next one, and end."""
    await trio.lowlevel.checkpoint()
    with trio.open_signal_receiver(*SIGNALS) as signals:
        actions = [second, first]
        async for _number in signals:
            actions.pop()()
            if not actions:
                return


async def on_output_error(output: Output, reader_gone: Callable[[], None]) -> None:
    """A reader that goes away, such as `head`, has seen enough; a full disk ends the output only, and that is told."""
    await trio.lowlevel.checkpoint()
    while output.error is None:  # noqa: ASYNC110 - set in a thread that knows nothing of Trio
        await trio.sleep(OUTPUT_CHECK)
    if isinstance(output.error, BrokenPipeError):
        reader_gone()
    else:
        warn(f"nothing more is shown: {output.error.strerror or output.error}")


def first_leaf(error: BaseException) -> BaseException:
    """The first exception in a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
