"""The bytes of a part: a message that says of itself what the part said within the other."""

from __future__ import annotations

import json

import pytest

from ingestion.parts import MAX_REPEATED, MessageParts

_BODY = (
    '{ "id": 1.50, "report": {"entries": [ {"a": 1.0}, null, "\\u00fc", [1 ,2] ], "n": 1e2},'
    ' "é": "ü"}'
).encode()


def test_each_part_stands_alone_with_the_bytes_of_its_values():
    """Numbers are not rewritten, and what surrounds the array stays."""
    parts = MessageParts(_BODY, path=("report", "entries"))

    assert parts.body(0) == '{"id":1.50,"report":{"entries":[{"a": 1.0}],"n":1e2},"é":"ü"}'.encode()
    assert [json.loads(parts.body(n) or b"")["report"]["entries"] for n in range(4)] == [
        [{"a": 1.0}],
        [None],
        ["ü"],
        [[1, 2]],
    ]


@pytest.mark.parametrize("path", [("no",), ("id",), ("report", "n"), ("é",)])
def test_what_is_no_array_is_not_cut(path):
    """The bytes are in the archive; an exception would hold up the partition."""
    assert MessageParts(_BODY, path=path).body(0) is None


def test_parts_with_much_around_them_are_left_to_the_archive():
    """What is repeated grows with the parts and with what surrounds them."""

    def body(parts: int, around: int) -> bytes:
        return json.dumps({"entries": [{}] * parts, "note": "x" * around}).encode()

    fits = MAX_REPEATED // 100 - 50

    assert MessageParts(body(100, fits), path=("entries",)).body(99) is not None
    assert MessageParts(body(101, fits + 50), path=("entries",)).body(0) is None
