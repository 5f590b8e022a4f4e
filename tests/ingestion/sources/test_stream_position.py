"""Positions in streams, and what counts as lost."""

from __future__ import annotations

import pytest

from ingestion.sources.stream_position import (
    StreamState,
    check_not_lost,
    id_before,
    parse_id,
    position_after,
)
from payflow.lib.errors import PositionLost

LARGEST = 2**64 - 1


@pytest.mark.parametrize(
    ("entry_id", "position"),
    [
        ("5-3", "5-4"),
        ("0-0", "0-1"),
        (f"5-{LARGEST}", "6-0"),
        ("1767225600123-0", "1767225600123-1"),
    ],
)
def test_a_position_follows_its_entry(entry_id: str, position: str):
    """And what lies before it is that entry."""
    assert position_after(entry_id) == position
    assert id_before(position) == entry_id


@pytest.mark.parametrize("text", ["", "5", "a-b", "5-", "-"])
def test_what_is_no_id_is_refused(text: str):
    """Before it reaches a server."""
    with pytest.raises(ValueError, match="invalid literal"):
        parse_id(text)


@pytest.mark.parametrize(
    ("state", "committed", "handed_out", "position", "lost"),
    [
        # nothing there, nothing read
        (StreamState(), 0, 0, "0-1", "nothing"),
        # all there, some read
        (StreamState(length=10, added=10, last_id="9-0"), 4, 4, "3-1", "nothing"),
        # trimmed exactly behind the checkpoint
        (StreamState(length=6, added=10, last_id="9-0"), 4, 4, "3-1", "nothing"),
        # trimmed three further
        (StreamState(length=3, added=10, last_id="9-0"), 4, 4, "3-1", 3),
        # trimmed within the batch that is being made: read, but not committed
        (StreamState(length=3, added=10, last_id="9-0"), 4, 8, "7-1", 3),
        # the stream is gone
        (StreamState(), 4, 4, "3-1", None),
        # it began anew and has fewer than were read
        (StreamState(length=3, added=3, last_id="9-0"), 4, 4, "3-1", None),
        # as many as were read, but its end is before the checkpoint
        (StreamState(length=4, added=4, last_id="2-9"), 4, 4, "3-1", None),
        # ids are numbers: 10-0 is behind 9-0
        (StreamState(length=4, added=4, last_id="10-0"), 4, 4, "9-1", "nothing"),
    ],
)
def test_counters_tell_what_is_lost(
    state: StreamState, committed: int, handed_out: int, position: str, lost: int | str | None
):
    """The number where the server can know it, None where it cannot."""
    if lost == "nothing":
        check_not_lost(
            state, partition="7", position=position, committed=committed, handed_out=handed_out
        )
        return

    with pytest.raises(PositionLost) as caught:
        check_not_lost(
            state, partition="7", position=position, committed=committed, handed_out=handed_out
        )

    assert (caught.value.partition, caught.value.lost) == ("7", lost)
