"""Requests with an Idempotency-Key: one of them is published, the others hear its answer."""

from __future__ import annotations

import gzip
import http.client
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import OperationalError
from django.utils import timezone

from ingestion.push import once, views
from ingestion.push.models import PushCount, PushRequest
from ingestion.tasks import sweep_pushes
from payflow.lib.errors import MessageTooLarge, SourceUnavailable
from payflow.lib.publish.base import OutgoingMessage
from payflow.lib.publish.stream import StreamPublisher
from tests.ingestion.push.conftest import URL

NDJSON = "application/x-ndjson"
LINES = b"\n".join(b'{"n":%d}' % number for number in range(5))


def test_the_same_key_and_body_get_the_same_answer(push, queued):
    """Packed or not; the second time nothing is published, and the answer says so."""
    first = push(LINES, NDJSON, Idempotency_Key="k")
    again = push(LINES, NDJSON, Idempotency_Key="k")
    packed = push(gzip.compress(LINES), NDJSON, Idempotency_Key="k", Content_Encoding="gzip")

    assert [answer.status_code for answer in (first, again, packed)] == [202, 202, 202]
    assert first.content == again.content == packed.content
    assert "Idempotent-Replayed" not in first
    assert (again["Idempotent-Replayed"], packed["Idempotent-Replayed"]) == ("true", "true")
    assert len(queued()) == 5


def test_errors_are_told_again_too(push, queued):
    """To the byte."""
    body = b"{}\n" + b"x" * 2**21

    first, again = (push(body, NDJSON, Idempotency_Key="k") for _ in range(2))

    assert first.json()["rejected"] == 1
    assert first.content == again.content
    assert queued() == [b"{}"]


@pytest.mark.parametrize(
    ("body", "kind", "more"),
    [
        (LINES + b" ", "application/json", {}),
        (LINES + b"\n{}", NDJSON, {}),
        (LINES, NDJSON, {"Partition_Key": "c"}),
    ],
)
def test_the_same_key_with_another_body_is_refused(push, queued, body, kind, more):
    """422: what was queued under it is not what is asked now."""
    push(LINES, NDJSON, Idempotency_Key="k")

    answer = push(
        b"[" + body.replace(b"\n", b",") + b"]" if kind != NDJSON else body,
        kind,
        Idempotency_Key="k",
        **more,
    )

    assert answer.status_code == 422
    assert len(queued()) == 5


def test_what_cannot_be_read_claims_no_key(push, queued):
    """Whoever mends the body may use its key again."""
    refused = [push(body, NDJSON, Idempotency_Key="k").status_code for body in (b" ", b"x" * 2**21)]

    assert refused == [422, 422]
    assert push(LINES, NDJSON, Idempotency_Key="k").status_code == 202


@pytest.mark.parametrize("key", ["x" * 256, "k\u00e4se", "a\tb"])
def test_a_key_that_cannot_be_kept_is_refused(push, queued, key):
    assert push(LINES, NDJSON, Idempotency_Key=key).status_code == 400
    assert queued() == []


def test_a_webhook_id_is_a_key(push, queued):
    """Signed or not: those who send it mean it so."""
    push(LINES, NDJSON, webhook_id="msg_1")

    assert push(LINES, NDJSON, webhook_id="msg_1")["Idempotent-Replayed"] == "true"
    assert len(queued()) == 5


def test_a_key_at_work_is_409_until_its_time_is_over(push, queued, access):
    """A process that died with it holds nobody up for longer."""
    body_hash = views._hash(NDJSON, None, LINES)
    assert isinstance(once.begin(access.source_id, "k", body_hash), once.Attempt)

    at_work = push(LINES, NDJSON, Idempotency_Key="k")
    PushRequest.objects.update(running_until=timezone.now() - timedelta(seconds=1))
    taken_over = push(LINES, NDJSON, Idempotency_Key="k")

    assert (at_work.status_code, at_work["Retry-After"]) == (409, "1")
    assert taken_over.status_code == 202
    assert len(queued()) == 5


def test_an_attempt_that_was_taken_over_writes_nothing(access):
    """Its answer would overwrite that of the other, or let a third one in."""
    slow = once.begin(access.source_id, "k", "0" * 64)
    PushRequest.objects.update(running_until=timezone.now() - timedelta(seconds=1))
    fast = once.begin(access.source_id, "k", "0" * 64)
    assert isinstance(slow, once.Attempt)
    assert isinstance(fast, once.Attempt)

    slow.finish(202, {"accepted": 1})
    slow.give_up(1)

    assert PushRequest.objects.get().state == "running"
    assert isinstance(once.begin(access.source_id, "k", "0" * 64), once.InFlight)


def test_an_answer_that_cannot_be_kept_is_given_all_the_same(push, queued, monkeypatch):
    """The events are queued: anything but 202 would have them sent again."""

    def away(*_args: object) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(once.Attempt, "finish", away)

    assert push(LINES, NDJSON, Idempotency_Key="k").status_code == 202
    assert len(queued()) == 5


def test_progress_that_cannot_be_kept_is_told_all_the_same(push, breaks, monkeypatch):
    """Whoever hears of two queued events goes on behind them by themselves."""

    def away(*_args: object) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(once.Attempt, "give_up", away)

    answer = push(LINES, NDJSON, Idempotency_Key="k")

    assert (answer.status_code, answer.json()["accepted"]) == (503, 2)


class _Breaks(StreamPublisher):
    """Loses its connection behind the first two messages, once."""

    broken = False

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        if not _Breaks.broken:
            _Breaks.broken = True
            super().publish(messages[:2])
            raise SourceUnavailable("cut off")
        super().publish(messages)


@pytest.fixture
def breaks(monkeypatch, pool):
    _Breaks.broken = False
    monkeypatch.setattr("payflow.lib.publish.factory._PUBLISHERS", {"redis_streams": _Breaks})


def test_a_repeated_request_goes_on_where_it_broke_off(push, queued, breaks):
    """What is known to be queued is not queued again."""
    first = push(LINES, NDJSON, Idempotency_Key="k")
    second = push(LINES, NDJSON, Idempotency_Key="k")

    assert (first.status_code, first.json()["accepted"], first.json()["next"]) == (503, 2, 2)
    assert (second.status_code, second.json()["accepted"]) == (202, 5)
    assert sorted(queued()) == sorted(LINES.split(b"\n"))


class _Small(StreamPublisher):
    """A broker with a limit of its own."""

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        for message in messages:
            if len(message.body) > 10:
                raise MessageTooLarge
            super().publish([message])


@pytest.mark.parametrize(("small", "status"), [(0, 202), (2, 422)])
def test_an_event_too_large_for_the_broker_is_413(push, queued, monkeypatch, small, status):
    """Waiting would not help. The mended body needs another key only if some is queued."""
    monkeypatch.setattr("payflow.lib.publish.factory._PUBLISHERS", {"redis_streams": _Small})
    lines = b"{}\n" * small

    answer = push(lines + b'{"a":"long enough"}', NDJSON, Idempotency_Key="k")
    mended = push(lines + b'{"a":1}', NDJSON, Idempotency_Key="k")

    assert (answer.status_code, "Retry-After" in answer) == (413, False)
    assert (answer.json()["accepted"], answer.json()["next"]) == (small, small)
    assert mended.status_code == status


def test_a_connection_that_breaks_behind_the_last_event_changes_nothing(push, queued, breaks):
    """All of them are durable, so the answer is 202."""
    assert push(b"[{},{}]", Idempotency_Key="k").status_code == 202
    assert len(queued()) == 2


def test_answers_are_forgotten_after_two_days(push, queued):
    """Then the key is new again."""
    push(b"{}", Idempotency_Key="old")
    push(b"{}", Idempotency_Key="new")
    PushRequest.objects.filter(key="old").update(created_at=timezone.now() - timedelta(hours=49))

    assert once.sweep() == 1
    assert PushRequest.objects.get().key == "new"


class _Slow(StreamPublisher):
    """Waits until all requests are on their way."""

    gate = threading.Barrier(2, timeout=10)

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        _Slow.gate.wait()
        super().publish(messages)


def test_parallel_requests_of_one_key_publish_once(
    transactional_db, live_server, token, queued, monkeypatch
):
    """Over real HTTP: one is at work, the others hear 409; afterwards all hear its answer."""
    monkeypatch.setattr("payflow.lib.publish.factory._PUBLISHERS", {"redis_streams": _Slow})
    host = urlsplit(live_server.url).netloc

    def post() -> tuple[int, str | None]:
        connection = http.client.HTTPConnection(host, timeout=20)
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": NDJSON,
            "Idempotency-Key": "k",
        }
        connection.request("POST", URL, LINES, headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.headers["Idempotent-Replayed"]

    with ThreadPoolExecutor(6) as threads:
        posts = [threads.submit(post) for _ in range(6)]
        early = [each.result() for each in _done(posts, 5)]
        _Slow.gate.wait()
        everyone = [each.result() for each in posts]

    assert early == [(409, None)] * 5
    assert sorted(everyone)[0] == (202, None)
    assert post() == (202, "true")
    assert len(queued()) == 5


def _done(posts: list[Future[Any]], count: int) -> list[Future[Any]]:
    """The first `count` of them to end."""
    ended = as_completed(posts, timeout=20)
    return [next(ended) for _ in range(count)]


def test_beat_forgets_answers_and_counts(push, queued):
    """Both tables stay as small as what they are asked for."""
    push(b"{}", Idempotency_Key="old")
    PushRequest.objects.update(created_at=timezone.now() - timedelta(hours=49))
    PushCount.objects.update(window_start=timezone.now() - timedelta(days=41))

    sweep_pushes()

    assert not PushRequest.objects.exists()
    assert not PushCount.objects.exists()
