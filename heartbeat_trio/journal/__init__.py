"""What went wrong, kept on disk: append-only JSON Lines, written beside the connections and never in their way.

`open_journal` gives a `Journal` that sessions write to; `read_journal` gives its records back. The format stands in
`records`.
"""

from .policy import JournalPolicy
from .reader import JournalReader, read_journal
from .records import Entry, PingEntry
from .writer import Journal, open_journal

__all__ = ["Entry", "Journal", "JournalPolicy", "JournalReader", "PingEntry", "open_journal", "read_journal"]
