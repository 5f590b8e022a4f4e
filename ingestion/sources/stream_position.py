"""Ids of stream entries as positions, and the arithmetic that notices lost messages.

An entry's id is "<milliseconds>-<sequence>", compared as two numbers. The position after id "5-3"
is "5-4", whether or not an entry with that id will ever exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from payflow.lib.errors import PositionLost, SourceUnavailable

FIRST_POSITION = "0-1"

_MAX_SEQUENCE = 2**64 - 1


def position_after(entry_id: str) -> str:
    """The position that names whatever follows an entry."""
    ms, sequence = parse_id(entry_id)
    return f"{ms + 1}-0" if sequence == _MAX_SEQUENCE else f"{ms}-{sequence + 1}"


def id_before(position: str) -> str:
    """The largest id below a position: what XREAD has to start after."""
    ms, sequence = parse_id(position)
    return f"{ms}-{sequence - 1}" if sequence else f"{ms - 1}-{_MAX_SEQUENCE}"


def parse_id(entry_id: str) -> tuple[int, int]:
    """Milliseconds and sequence, in the order ids have; ValueError when it is no id."""
    ms, _, sequence = entry_id.partition("-")
    return int(ms), int(sequence)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """What the server says of one stream; all zero when there is none."""

    #: entries that it holds
    length: int = 0
    #: entries that it ever took
    added: int = 0
    #: id of the last entry it ever took
    last_id: str = "0-0"

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> StreamState:
        """From XINFO STREAM (Redis 7 or newer, Valkey); SourceUnavailable of older ones."""
        if "entries-added" not in info:
            raise SourceUnavailable(
                "The server does not count what it took; Redis 7 or newer, or Valkey, is needed."
            )
        return cls(
            length=info["length"],
            added=info["entries-added"],
            last_id=info["last-generated-id"].decode(),
        )


def check_not_lost(
    state: StreamState, *, partition: str, position: str, committed: int, handed_out: int
) -> None:
    """Raise PositionLost when messages that nobody read are gone, or the stream's end is.

    `committed` messages precede the batch that is being made, `handed_out` include it. Whatever is
    no longer in the stream must have been read: a larger difference was trimmed or deleted unread.
    A server that knows fewer entries than were read came back without its end, and new entries may
    have taken the place of lost ones. Only counters tell: `max-deleted-entry-id` stays 0-0 after
    XTRIM.
    """
    unread = state.added - state.length - committed
    if unread > 0:
        detail = f"They were removed from the stream before position {position} was read."
        raise PositionLost(partition=partition, lost=unread, detail=detail)
    if state.added < handed_out or parse_id(state.last_id) < parse_id(id_before(position)):
        detail = (
            f"The stream ends at {state.last_id} after {state.added:,} messages, "
            f"behind position {position} after {handed_out:,}: the server lost its end."
        )
        raise PositionLost(partition=partition, lost=None, detail=detail)
