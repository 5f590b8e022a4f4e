"""The body of a request: limits, packing, and how it is taken apart."""

from __future__ import annotations

import gzip
import tracemalloc
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.push.body import JSON, MAX_BODY, MAX_EVENTS, NDJSON, split, unpack
from payflow.lib.api.problems import Refused

_MORE = (b'{"a":1}', b"[]", b"17", b'"text"', b"null", b'{"b": {"c": [1.50, 2e3]}}')


@pytest.mark.parametrize("item", [b"not json", b'"text"', b"\xff\xfe", b'{"a":', b"[1]", b"\x00"])
def test_every_line_is_an_event(item):
    """What a line says is not looked at; blank lines are none."""
    events = split(b"\n\r\n" + item + b"\r\n  \n", NDJSON)

    assert (events.bodies, events.indexes, events.errors) == ([item], [2], [])


@given(st.lists(st.sampled_from(_MORE)), st.sampled_from([b"", b" ", b"\n\t"]))
def test_every_element_is_an_event_by_its_own_bytes(items, blank):
    """Whatever stands between them, and whatever they are."""
    joined = (blank + b"," + blank).join(items)

    events = split(blank + b"[" + blank + joined + blank + b"]" + blank, JSON)

    assert events.bodies == items
    assert events.indexes == list(range(len(items)))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"  ", 400),
        (b"{", 400),
        (b"{}{}", 400),
        (b"{}\n{}", 400),
        (b'[{"a":1},{"b":]', 400),
        (b'[{"a":1}] x', 400),
        (b'[{"a":1},]', 400),
        (b'{"a": NaN}', 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 100_000, 400),
        (b'"text"', 422),
        (b"17", 422),
        (b"null", 422),
        (b"[" + b"{}," * MAX_EVENTS + b"{}]", 413),
    ],
)
def test_json_that_is_no_event_or_array_of_them_is_refused(body, status):
    """Whole, and without a word of what it says."""
    with pytest.raises(Refused) as refused:
        split(body, JSON)

    assert refused.value.status_code == HTTPStatus(status)
    assert "text" not in str(refused.value.detail)


def test_a_mark_of_the_byte_order_is_no_part_of_an_event():
    """Some editors and libraries write one."""
    assert split(b"\xef\xbb\xbf{}", JSON).bodies == [b"{}"]
    assert split(b"\xef\xbb\xbf{}\n", NDJSON).bodies == [b"{}"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\n" * MAX_BODY, NDJSON),
        (b"1\n" * (MAX_BODY // 2), NDJSON),
        (b"[" + b"1," * (MAX_BODY // 2 - 1) + b"1]", JSON),
        (b"[" + b"1," * 499_999 + b"1]", JSON),
    ],
)
def test_too_many_events_cost_little_memory(body, kind):
    """A body made of as many pieces as can be is refused before they are many objects."""
    tracemalloc.start()
    with pytest.raises(Refused) as refused:
        split(body, kind)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert refused.value.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert peak < 40 * 2**20


@pytest.mark.parametrize(
    ("sent", "encoding", "status"),
    [
        (gzip.compress(b" " * 50 * 2**20), "gzip", 413),
        (gzip.compress(b" " * (MAX_BODY + 1)), "gzip", 413),
        (b"{}", "gzip", 400),
        (b"", "gzip", 400),
        (gzip.compress(b"{}")[:-9], "gzip", 400),
        (gzip.compress(b"{}")[:-1], "gzip", 400),
        (gzip.compress(b"{}") + b"more", "gzip", 400),
        (b"{}", "br", 415),
        (b"{}", "gzip, gzip", 415),
    ],
    ids=["bomb", "large", "plain", "empty", "short", "cut", "more", "brotli", "twice"],
)
def test_what_is_not_well_packed_is_refused(sent, encoding, status):
    """A bomb as well as a packet without its end."""
    with pytest.raises(Refused) as refused:
        unpack(sent, encoding)

    assert refused.value.status_code == HTTPStatus(status)


def test_as_much_as_the_limit_is_unpacked():
    assert len(unpack(gzip.compress(b" " * MAX_BODY), "gzip")) == MAX_BODY
