"""One direction of a virtual connection, as TCP would carry it. No task runs here: due times are computed when needed.

Bytes move from *held* (accepted from a frozen process) to *queue* (beyond the receive window) to *wire* (on their way) to
*arrived* (unread in the receiver's kernel). What happens to a host's packets right now stands in its `Condition`; whoever
changes one tells the pipes (`Pipe.lose`, `Pipe.retransmit`).
"""

from __future__ import annotations

from collections import deque
from math import inf
from random import Random
from typing import TYPE_CHECKING

from ._conditions import Alarm, is_cut, latency_between

if TYPE_CHECKING:
    from ._conditions import Condition

BUFFER = 64 * 1024
"""Default size of a send buffer and of a receive buffer, in bytes."""

MINIMUM_RTO = 0.2
"""Seconds that TCP waits for an acknowledgement beyond the round trip, before it retransmits (Linux; RFC 6298 says 1 s)."""

MAXIMUM_RTO = 120.0
"""Seconds between retransmissions never grow beyond this (Linux's TCP_RTO_MAX)."""

END = b""
"""Travels behind the last byte: the FIN."""


class Segment:
    """Bytes on their way: when they left, when they arrive (`inf`: lost), and what they are."""

    __slots__ = ("data", "due", "sent")

    def __init__(self, sent: float, due: float, data: bytes | memoryview) -> None:
        self.sent = sent
        self.due = due
        self.data = data


class Pipe:
    """One direction of a connection, from the tasks of one host to the tasks of another.

    Args:
        source: The sender's host.
        target: The receiver's host.
        label: Names the direction, and seeds its jitter.
        send_buffer: Bytes that the sender's kernel takes beyond the receive window.
        receive_buffer: Bytes that may be on the wire or unread.

    Attributes:
        reverse: The other direction, on which acknowledgements and resets travel.
        readable: Rings when the reader may get something.
        writable: Rings when the sender may go on.
        is_read_closed: The receiver's socket is gone: bytes that arrive are answered with a reset.
        reset_at: When a reset reaches the receiver.
    """

    reverse: Pipe

    def __init__(self, source: Condition, target: Condition, label: str, *, send_buffer: int, receive_buffer: int) -> None:
        self.source = source
        self.target = target
        self.label = label
        self.readable = Alarm()
        self.writable = Alarm()
        self.is_read_closed = False
        self._rng: Random | None = None
        self._window = receive_buffer
        self._capacity = receive_buffer + send_buffer
        self._held: deque[bytes] = deque()
        self._queue: deque[bytes | memoryview] = deque()
        self._wire: deque[Segment] = deque()
        self._arrived: deque[Segment] = deque()
        self._unread = 0
        self._accepted = 0  # offsets in the stream of bytes, counted from its start:
        self._dispatched = 0
        self._acknowledged = 0
        self._acknowledgements: deque[tuple[float, int]] = deque()  # on their way back: when due, how many bytes
        self._last_due = -inf
        self._has_ended = False
        self.reset_at = inf
        self._next_read = -inf

    # The sender's side

    def put(self, data: bytes | bytearray | memoryview, now: float) -> int:
        """Accept as many bytes as there is room for; return how many."""
        room = self.room(now)
        chunk = bytes(data) if len(data) <= room else bytes(memoryview(data)[:room])
        if chunk:
            self._accepted += len(chunk)
            self._push(chunk, now)
        return len(chunk)

    def room(self, now: float) -> int:
        """How many bytes `put` would accept."""
        waiting = self._acknowledgements
        while waiting and waiting[0][0] <= now:
            self._acknowledged += waiting.popleft()[1]
        return self._capacity - (self._accepted - self._acknowledged)

    def end(self, now: float) -> None:
        """Send the end of the stream behind everything that was put."""
        self._push(END, now)

    def room_at(self) -> float:
        """When room will be made, as things stand; `inf` if the reader must read first."""
        return self._acknowledgements[0][0] if self._acknowledgements else inf

    def exit(self, now: float) -> None:
        """The sender's process is gone, frozen or not: its kernel sends what it has, and the end."""
        self._held.clear()
        self._queue.append(END)
        self._dispatch(now)

    def abort(self, now: float) -> None:
        """The sender's socket was aborted: send a reset instead of what is not on the wire yet."""
        self._held.clear()
        self._queue.clear()
        self.send_reset(now)

    def _push(self, chunk: bytes, now: float) -> None:
        if not self.source.is_frozen:
            self._queue.append(chunk)
            self._dispatch(now)
            return
        if not self._held:
            self.source.at_thaw.append(self._release)
        self._held.append(chunk)

    def _release(self, now: float) -> None:
        """The sender's process runs again: send what it put meanwhile."""
        self._queue.extend(self._held)
        self._held.clear()
        self._dispatch(now)

    def _dispatch(self, now: float) -> None:
        """Put on the wire what the receive window allows, now or at an acknowledgement that is on its way."""
        while self._queue:
            depart, room = self._opening(now)
            chunk = self._queue[0]
            if len(chunk) <= room:
                self._queue.popleft()
            elif room:
                view = memoryview(chunk)
                chunk, self._queue[0] = view[:room], view[room:]
            else:
                break
            self._transmit(chunk, depart)

    def _opening(self, now: float) -> tuple[float, int]:
        """When the window is next open, and for how many bytes."""
        room = self._window - (self._dispatched - self._acknowledged)
        depart = now
        for due, size in self._acknowledgements:
            if room > 0:
                break
            if due < inf:
                depart = max(now, due)
                room += size
        return depart, room

    def _transmit(self, chunk: bytes | memoryview, depart: float) -> None:
        self._dispatched += len(chunk)
        due = inf if is_cut(self.source, self.target) else self._arrival(depart)
        self._wire.append(Segment(depart, due, chunk))
        if self.is_read_closed:
            self._bounce(depart)
        else:
            self.readable.ring(due)

    def _arrival(self, depart: float) -> float:
        """When a segment arrives that leaves at `depart`: in order, and glued to the previous one if asked."""
        weather = self.source.weather
        due = depart + latency_between(self.source, self.target)
        if weather.jitter:
            if self._rng is None:
                self._rng = Random(f"{weather.seed} {self.label}")
            due += weather.jitter * self._rng.random()
        if due > self._last_due:
            self._last_due = due + self.target.merge_within
        return self._last_due

    # The receiver's side

    def unread(self, now: float) -> int:
        """How many bytes lie unread in the receiver's kernel."""
        self._arrive(now)
        return self._unread

    def take(self, max_bytes: int | None, now: float) -> bytes | None:
        """Read what has arrived, b"" at the end of the stream, None if there is nothing yet."""
        if self.target.is_frozen or now < self._paced():
            return None
        self._arrive(now)
        if not self._arrived:
            return END if self._has_ended else None
        size = self._limit(max_bytes)
        data = self._pop(size) if size < self._unread else self._pop_all()
        self._unread -= len(data)
        self._acknowledge(len(data), now)
        return data

    def readable_at(self, now: float) -> float:
        """When the reader may get something, as things stand: bytes, the end, or a reset."""
        if self.target.is_frozen:
            return inf
        self._arrive(now)
        if self._arrived or self._has_ended:
            return self._paced()
        due = self._wire[0].due if self._wire else inf
        return min(max(due, self._paced()), self.reset_at)

    def close_reading(self, now: float) -> bool:
        """The receiver's socket is closed. True if bytes lay unread: then Linux resets instead of ending the stream."""
        had_unread = self.unread(now) > 0
        self.is_read_closed = True
        self._arrived.clear()
        self._unread = 0
        self._bounce(now)
        return had_unread

    def _arrive(self, now: float) -> None:
        wire = self._wire
        while wire and wire[0].due <= now:
            segment = wire.popleft()
            if segment.data:
                self._arrived.append(segment)
                self._unread += len(segment.data)
            else:
                self._has_ended = True

    def _paced(self) -> float:
        """When a slow reader may read again."""
        return -inf if self.target.read_rate is None else self._next_read

    def _limit(self, max_bytes: int | None) -> int:
        """Bytes that this read gets at most: a slow reader takes a tenth of a second's worth at a time."""
        limit = self._unread if max_bytes is None else max_bytes
        if self.target.read_limit is not None:
            limit = min(limit, self.target.read_limit)
        if self.target.read_rate is not None:
            limit = min(limit, max(1, int(self.target.read_rate / 10)))
        return limit

    def _pop_all(self) -> bytes:
        arrived = self._arrived
        if len(arrived) == 1:
            return bytes(arrived.popleft().data)
        data = b"".join([segment.data for segment in arrived])
        arrived.clear()
        return data

    def _pop(self, size: int) -> bytes:
        parts: list[bytes | memoryview] = []
        while size:
            head = self._arrived[0]
            if len(head.data) <= size:
                parts.append(self._arrived.popleft().data)
            else:
                view = memoryview(head.data)
                parts.append(view[:size])
                head.data = view[size:]
            size -= len(parts[-1])
        return b"".join(parts)

    def _acknowledge(self, size: int, now: float) -> None:
        """Tell the sender, one latency later, that the window has opened."""
        if self.target.read_rate is not None:
            self._next_read = now + size / self.target.read_rate
        cut = is_cut(self.target, self.source)
        due = inf if cut else now + latency_between(self.target, self.source)
        if due <= now and not self._acknowledgements:
            self._acknowledged += size
        else:
            self._expect_acknowledgement(due, size)
        if self._queue:
            self._dispatch(now)
        self.writable.ring(due)

    def _expect_acknowledgement(self, due: float, size: int) -> None:
        waiting = self._acknowledgements
        if waiting and due <= waiting[-1][0]:
            due, merged = waiting.pop()
            size += merged
        waiting.append((due, size))

    # Resets

    def reset(self, at: float) -> None:
        """A reset reaches the receiver at `at`, behind what is on the wire by then."""
        self.reset_at = min(self.reset_at, at)
        self.readable.ring(self.reset_at)
        self.reverse.writable.ring(self.reset_at)

    def is_reset(self, now: float) -> bool:
        """Whether the receiver has been told that the connection is broken."""
        return self.reset_at <= now

    def send_reset(self, now: float) -> None:
        """Let a reset leave at `now`. It may get lost: nobody repeats a reset."""
        if not is_cut(self.source, self.target):
            self.reset(max(self._last_due, now + latency_between(self.source, self.target)))

    def _bounce(self, now: float) -> None:
        """Bytes that arrive at a closed socket are answered with a reset. The end of the stream is not."""
        if self.reverse.reset_at < inf:
            return
        due = min((s.due for s in self._wire if s.data), default=inf)
        if due < inf:
            self.reverse.send_reset(max(now, due))

    # Faults

    def lose(self, now: float) -> None:
        """The path was cut: what is under way, in the directions that are cut, does not arrive."""
        if is_cut(self.source, self.target):
            if not self.is_read_closed:  # else nothing on the wire was ever acknowledged: it is all sent again
                self._arrive(now)
            for segment in self._wire:
                segment.due = inf
            self._last_due = now
            if self.reset_at > now:
                self.reset_at = inf
        if is_cut(self.target, self.source):
            self._acknowledgements = deque((due if due <= now else inf, size) for due, size in self._acknowledgements)

    def retransmit(self, now: float) -> None:
        """The path was healed: TCP sends again what was lost, when its timer next goes off."""
        lost = [] if is_cut(self.source, self.target) else [s for s in self._wire if s.due == inf]
        if lost:
            again = self._retransmission(lost[0].sent, now)
            for segment in lost:
                segment.due = self._arrival(max(again, segment.sent))
            self.readable.ring(lost[0].due)
        if self.is_read_closed:
            self._bounce(now if lost else now + self._timeout())
        if not is_cut(self.target, self.source):
            self._repeat_acknowledgements(now)

    def _repeat_acknowledgements(self, now: float) -> None:
        """A lost window update is repeated when the sender next probes, which takes a timeout."""
        size = sum(size for due, size in self._acknowledgements if due == inf)
        if size:
            self._acknowledgements = deque((due, size) for due, size in self._acknowledgements if due < inf)
            due = now + self._timeout()
            self._expect_acknowledgement(due, size)
            self._dispatch(now)
            self.writable.ring(due)

    def _retransmission(self, sent: float, now: float) -> float:
        """The first time, not before `now`, at which TCP repeats what it sent at `sent`: the timeout doubles each time."""
        timeout = self._timeout()
        again = sent + timeout
        while again < now:
            timeout = min(2 * timeout, MAXIMUM_RTO)
            again += timeout
        return again

    def _timeout(self) -> float:
        return MINIMUM_RTO + 2 * latency_between(self.source, self.target)
