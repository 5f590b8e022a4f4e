"""Events pushed over HTTP: what is queued, what is refused, and what the sender is told."""

from __future__ import annotations

import gzip
import json

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from knox.models import AuthToken

from configuration.models import Source
from ingestion.push import views
from ingestion.push.body import MAX_BODY, MAX_EVENT, MAX_EVENTS
from ingestion.push.models import PushCount
from metrics.models import NormalizedTransaction
from tests.ingestion.conftest import event, ready
from tests.ingestion.push.conftest import URL
from tests.ingestion.streaming import drain_all

__all__ = ["event", "ready"]

NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"


def test_one_event_an_array_and_lines_are_queued_by_their_own_bytes(push, queued):
    """What the sender wrote is what the broker gets: spaces, order of keys and digits."""
    one = b'{"b": 1.50,  "a":2}'

    assert push(one).json() == {"accepted": 1, "rejected": 0, "errors": []}
    assert push(b' [ {"c" :3} ,\n{"d":[1, 2]} ]').status_code == 202
    assert push(b'{"e":1}\r\n\n  \n{"f":2}', NDJSON).json()["accepted"] == 2
    assert sorted(queued()) == sorted([one, b'{"c" :3}', b'{"d":[1, 2]}', b'{"e":1}', b'{"f":2}'])


def test_pushed_events_become_transactions(ready, push, event, streams):
    """From a POST to a row: the path does not know how a message came to the broker."""
    events = [event(number) for number in range(20)]

    answer = push(json.dumps(events))
    drain_all()

    assert answer.status_code == 202
    assert NormalizedTransaction.objects.count() == 20


def test_a_paused_source_still_takes_events(push, queued):
    """They wait at the broker, as with every producer."""
    Source.objects.filter(name="demo").update(paused_at="2026-03-02T10:00:00Z")

    assert push(b"{}").status_code == 202
    assert queued() == [b"{}"]


def test_a_line_that_is_no_event_is_queued_all_the_same(push, queued):
    """It becomes a failed item with its bytes, which nobody would have otherwise."""
    assert push(b"not json", NDJSON).json()["accepted"] == 1
    assert queued() == [b"not json"]


def test_an_event_too_large_is_an_error_of_its_own(push, queued):
    """The others are queued; the answer says which one was not."""
    large = b'{"a":"' + b"x" * MAX_EVENT + b'"}'

    answer = push(b'[{"n":1},' + large + b',{"n":2}]')

    assert answer.status_code == 202
    assert answer.json() == {
        "accepted": 2,
        "rejected": 1,
        "errors": [
            {
                "index": 1,
                "pointer": "/1",
                "detail": "An event has at most 1,048,576 bytes; this one has 1,048,584.",
            }
        ],
    }
    assert sorted(queued()) == [b'{"n":1}', b'{"n":2}']


def test_nothing_to_queue_is_refused_with_the_reasons(push, queued):
    """422 and a problem document, so that nobody takes it for a success."""
    large = push(b'{"a":"' + b"x" * MAX_EVENT + b'"}')
    none = [push(b"[]"), push(b" \n\n", NDJSON)]

    assert (large.status_code, large["Content-Type"]) == (422, PROBLEM)
    assert large.json()["errors"][0]["pointer"] == ""
    assert [answer.status_code for answer in none] == [422, 422]
    assert queued() == []


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'[{"a":1},{"b":]', "application/json", 400),
        (b'"text"', "application/json", 422),
        (b"{}", "text/plain", 415),
        (b"{}", "multipart/form-data; boundary=x", 415),
        (b"{}\n" * (MAX_EVENTS + 1), NDJSON, 413),
        (b" " * (MAX_BODY + 1), "application/json", 413),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_whole(push, queued, body, kind, status):
    """Nothing of it is queued; the answer is a problem document."""
    answer = push(body, kind)

    assert (answer.status_code, answer["Content-Type"]) == (status, PROBLEM)
    assert queued() == []


def test_as_much_as_the_limits_say_is_taken(push, queued):
    """5,000 events in one request, and one event of just a megabyte."""
    largest = b'{"a":"' + b"x" * (MAX_EVENT - 8) + b'"}'

    assert push(b"{}\n" * MAX_EVENTS, NDJSON).json()["accepted"] == MAX_EVENTS
    assert push(largest).json()["accepted"] == 1
    assert len(queued()) == MAX_EVENTS + 1


def test_packed_bodies_are_unpacked(push, queued):
    """Content-Encoding: gzip."""
    answer = push(gzip.compress(b'{"a":1}\n{"b":2}'), NDJSON, Content_Encoding="gzip")

    assert answer.json()["accepted"] == 2
    assert sorted(queued()) == [b'{"a":1}', b'{"b":2}']


def test_a_bomb_is_refused(push, queued):
    """It is unpacked no further than a request may be long."""
    bomb = gzip.compress(b" " * 50 * 2**20)

    assert push(bomb, Content_Encoding="gzip").status_code == 413
    assert queued() == []


def test_events_of_one_partition_key_keep_their_order(push, queued, streams):
    """`Partition-Key` is the key of every event of the request."""
    for number in range(5):
        push(b'[{"n":%d},{"m":%d}]' % (number, number), Partition_Key="customer-7")

    assert queued() == [body for n in range(5) for body in (b'{"n":%d}' % n, b'{"m":%d}' % n)]
    assert push(b"{}", Partition_Key="x" * 129).status_code == 400


# --- who may -------------------------------------------------------------------------------------


def test_without_a_token_nobody_learns_what_there_is(access):
    """401, the same for sources that are there, closed or not there."""
    answers = [
        Client().post(f"/api/v1/sources/{name}/events", b"{}", content_type="application/json")
        for name in ("demo", "nobody")
    ]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].content == answers[1].content
    assert answers[0]["WWW-Authenticate"] == "Bearer"


def test_a_token_reaches_its_own_sources_alone(push, queued, access):
    """404 for others, whether there is such a source or not: also for a superuser."""
    other = AuthToken.objects.create(User.objects.create_superuser("root"))[1]
    headers = {"Authorization": f"Bearer {other}"}

    answers = [
        Client().post(url, b"{}", content_type="application/json", headers=headers)
        for url in (URL, "/api/v1/sources/nobody/events")
    ]
    access.delete()

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    assert push(b"{}").status_code == 404
    assert queued() == []


def test_a_token_that_ended_or_whose_person_left_is_refused(push, token, queued):
    """401: tokens end by their own date and with their person."""
    User.objects.filter(username="shop").update(is_active=False)
    left = push(b"{}")
    User.objects.filter(username="shop").update(is_active=True)
    AuthToken.objects.update(expiry="2026-01-01T00:00:00Z")

    assert (left.status_code, push(b"{}").status_code) == (401, 401)
    assert queued() == []


def test_a_session_does_not_push(access, queued):
    """A page that somebody else wrote cannot use the login of who reads it."""
    client = Client()
    client.force_login(access.senders.get())

    answer = client.post(URL, b"{}", content_type="application/json")

    assert answer.status_code == 401
    assert queued() == []


@pytest.mark.parametrize("method", ["get", "put", "delete", "options"])
def test_other_methods_are_refused(push, token, method):
    answer = getattr(Client(), method)(URL, headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 405


def test_nothing_is_pushed_into_a_file(push, access):
    """A file is taken in by the command that was given it; publishing would write it anew."""
    Source.objects.filter(name="demo").update(broker_type="file")

    assert push(b"{}").status_code == 404


# --- a broker that does not take them ------------------------------------------------------------


def test_a_full_broker_says_when_to_come_back_and_from_where(push, queued, streams):
    """429 with Retry-After; `next` is the first event that is not queued."""
    Source.objects.filter(name="demo").update(
        settings={"stream": "payflow.demo", "partitions": 4, "max_length": 1000}
    )
    lines = b"\n".join(b'{"n":%d}' % number for number in range(5_000))

    answer = push(lines, NDJSON)

    told = answer.json()
    assert (answer.status_code, answer["Retry-After"]) == (429, "2")
    assert told["accepted"] == told["next"] == len(queued())
    assert 0 < told["accepted"] <= 4_000


def test_a_broker_that_is_away_is_503(push, settings):
    """With Retry-After, and nothing of its address in the answer."""
    settings.STREAMS_URL = "redis://127.0.0.1:1/0"

    answer = push(b"{}")

    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer.json()["accepted"] == 0
    assert "127.0.0.1" not in answer.content.decode()


def test_a_source_that_cannot_be_written_to_is_503(push, caplog):
    """What is wrong with it is for its owners: it stands in the log."""
    Source.objects.filter(name="demo").update(settings={"stream": "bad name"})

    answer = push(b"{}")

    assert (answer.status_code, answer["Retry-After"]) == (503, "60")
    assert "/stream" not in answer.content.decode()
    assert "/stream" in caplog.text


def test_new_settings_are_followed_at_once(push, streams, pool):
    """A publisher of the settings before is closed, not used."""
    push(b"{}")
    Source.objects.filter(name="demo").update(
        settings={"stream": "payflow.moved", "partitions": 1}, settings_serial=1
    )

    push(b'{"new":1}')

    assert [fields[b"body"] for _, fields in streams.xrange("payflow.moved.0")] == [b'{"new":1}']
    assert len(pool._idle) == 1


def test_publishers_are_kept_and_closed_when_nobody_needs_them(push, pool, monkeypatch):
    """One connection serves requests that follow each other."""
    opened = []
    real = pool._open

    def watched(source):
        opened.append(source)
        return real(source)

    monkeypatch.setattr(pool, "_open", watched)

    for _ in range(3):
        push(b"{}")
    kept = len(opened)
    monkeypatch.setattr("ingestion.push.publishers.IDLE_S", -1.0)
    push(b"{}")

    assert (kept, len(opened)) == (1, 2)


def test_requests_are_counted_by_what_became_of_them(push, queued, settings):
    """For `/metrics`: those that nobody was let in for are not, they belong to no source."""
    push(b"[{},{}]")
    push(b"{}", Idempotency_Key="k")
    push(b"{}", Idempotency_Key="k")
    push(b"[{},{}")
    push(b"[]")
    Client().post(URL, b"{}", content_type="application/json")
    settings.STREAMS_URL = "redis://127.0.0.1:1/0"
    Source.objects.filter(name="demo").update(settings_serial=1)
    push(b"{}")

    rows = PushCount.objects.values_list("outcome", "requests", "events")

    assert sorted(rows) == [
        ("accepted", 2, 3),
        ("refused", 2, 0),
        ("replayed", 1, 0),
        ("unavailable", 1, 0),
    ]


def test_payloads_reach_no_log(push, settings, caplog):
    """Not even those of a request that failed."""
    settings.STREAMS_URL = "redis://127.0.0.1:1/0"

    push(b'{"pan":"4111111111111111"}')
    push(b'{"pan":"4111111111111111"')

    assert "4111111111111111" not in caplog.text


def test_the_database_away_is_503(push, monkeypatch):
    """Nobody can be asked who may push; the sender tries again."""

    def away(*_args: object) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(views, "admit", away)
    answer = push(b"{}")

    assert (answer.status_code, answer["Retry-After"], answer["Content-Type"]) == (
        503,
        "5",
        PROBLEM,
    )
