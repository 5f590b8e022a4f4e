"""What a stream holds, asked without reading it: its ends, places in time, and counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import redis

from ingestion.sources.base import Bounds, position_key
from ingestion.sources.stream_position import StreamState, position_after

#: entries that the server counts in one call: about a millisecond in which it does nothing else
COUNT_AT_ONCE: Final = 1_000
#: a count that takes longer is not worth the wait
COUNT_LIMIT_S: Final = 5.0

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The server counts: sent here, a million entries would be hundreds of megabytes.
_COUNT: Final = """
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
if #found == 0 then return {0, ''} end
return {#found, found[#found][1]}
"""


class StreamLook:
    """One look at one stream; raises redis.RedisError and SourceUnavailable."""

    def __init__(self, client: redis.Redis, key: str) -> None:
        self._client = client
        self._key = key

    def bounds(self) -> Bounds:
        """The first entry, and behind the last that the stream ever took."""
        info = self._info()
        state = StreamState.from_info(info) if info else StreamState()
        end = position_after(state.last_id)
        first = info["first-entry"] if info else None
        return Bounds(first=first[0].decode() if first else end, end=end)

    def position_at(self, moment: datetime) -> str:
        """Of the first entry that was added then or later, by the server's clock."""
        ms = max(0, -((_EPOCH - moment) // timedelta(milliseconds=1)))
        found: Any = self._client.xrange(self._key, min=f"{ms}-0", count=1)
        return found[0][0].decode() if found else self.bounds().end

    def count_between(self, start: str, end: str) -> int | None:
        """Entries held; None when counting takes too long."""
        if position_key(end) <= position_key(start):
            return 0
        before = [self.counted_before(position) for position in (start, end)]
        return None if before[0] is None or before[1] is None else before[1] - before[0]

    def counted_before(self, position: str) -> int | None:
        """Entries that the stream ever took before a position, those it dropped since included.

        Counted from the stream's beginning and from its end in turn, whichever is nearer: a
        checkpoint is mostly near one of them. Entries that come or are trimmed meanwhile change
        nothing: what is before the position is what it took, less what lies behind.
        """
        deadline = time.monotonic() + COUNT_LIMIT_S
        while time.monotonic() < deadline:
            info = self._info()
            if not info:
                return 0
            state = StreamState.from_info(info)
            behind = _Walk(self._count, position, state.last_id)
            ahead = _Walk(self._count, "-", f"({position}")
            while not behind.is_done and not ahead.is_done and time.monotonic() < deadline:
                behind.step()
                if not behind.is_done:
                    ahead.step()
            if behind.is_done:
                return state.added - behind.count
            if ahead.is_done and self._dropped() == state.added - state.length:
                return state.added - state.length + ahead.count
        return None

    def _dropped(self) -> int:
        info = self._info()
        state = StreamState.from_info(info) if info else StreamState()
        return state.added - state.length

    def _info(self) -> dict[str, Any] | None:
        try:
            info: Any = self._client.xinfo_stream(self._key)
        except redis.ResponseError as exc:
            if "no such key" in str(exc):
                return None
            raise
        return dict(info)

    def _count(self, start: str, end: str) -> tuple[int, str]:
        reply: Any = self._client.eval(_COUNT, 1, self._key, start, end, str(COUNT_AT_ONCE))
        return int(reply[0]), reply[1].decode()


class _Walk:
    """Counting from one id to another, a piece at a time."""

    def __init__(self, count: Callable[[str, str], tuple[int, str]], start: str, end: str) -> None:
        self._count = count
        self._start = start
        self._end = end
        self.count = 0
        self.is_done = False

    def step(self) -> None:
        found, last = self._count(self._start, self._end)
        self.count += found
        self.is_done = found < COUNT_AT_ONCE
        self._start = f"({last}"
