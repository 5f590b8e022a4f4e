"""Sources over REST: how they are, pause and resume, test a connection."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from django.test import Client

from configuration.models import AuditEntry, Source
from ingestion.source_page import connection_check
from ingestion.sources.redis_streams import RedisStreamsConsumer

_LIST = "/api/v1/sources/"
_DEMO = f"{_LIST}demo/"
_VIEW, _CHANGE = "configuration.view_source", "configuration.change_source"


@pytest.fixture
def send(staff):
    """(status, answer) of a request of somebody with these permissions."""

    def ask(method: str, url: str, body: Any = None, *, may: tuple[str, ...]) -> tuple[int, Any]:
        client: Client = staff(*may)
        data = "" if body is None else json.dumps(body)
        answer = client.generic(method, url, data, content_type="application/json")
        return answer.status_code, answer.json()

    return ask


def test_a_source_tells_its_state_connections_and_partitions(demo, partition, connected, send):
    """What the page shows, as numbers and names; unknown is null."""
    partition("0")
    partition("1", state="stopped", stopped_reason="lost 3", lag_at=None)
    connected()

    status, said = send("GET", _DEMO, may=(_VIEW,))

    assert status == 200
    assert (said["state"], said["partitions"], said["stopped_partitions"]) == (
        "partly_halted",
        2,
        1,
    )
    assert (said["lag_events"], said["lag_seconds"]) == (2, 0.6)
    assert said["connections"][0]["worker"] == "worker-1"
    first, second = said["partition_list"]
    assert (first["lease_owner"], first["lease_epoch"], first["lag_events"]) == ("worker-1", 14, 2)
    assert (second["stopped_reason"], second["lag_events"]) == ("lost 3", None)


def test_all_sources_are_listed_in_pages(demo, send):
    """No count, a cursor."""
    for number in range(3):
        Source.objects.create(
            name=f"s-{number}", broker_type="redis_streams", settings={}, schema_name="transaction"
        )

    _, first = send("GET", f"{_LIST}?page_size=3", may=(_VIEW,))
    _, second = send("GET", first["next"], may=(_VIEW,))

    names = [row["name"] for row in first["results"] + second["results"]]
    assert names == ["s-2", "s-1", "s-0", "demo"]


def test_a_pause_and_its_end_are_obeyed_and_audited(demo, send):
    """By whoever holds the token."""
    _, paused = send("POST", f"{_DEMO}pause/", {"reason": "broker moves"}, may=(_VIEW, _CHANGE))
    _, resumed = send("POST", f"{_DEMO}resume/", may=(_VIEW, _CHANGE))

    assert (paused["state"], paused["paused_reason"]) == ("paused", "broker moves")
    assert resumed["paused_at"] is None
    actions = (
        AuditEntry.objects.filter(target="demo").order_by("id").values_list("action", flat=True)
    )
    assert list(actions)[-2:] == ["paused source", "resumed source"]
    assert None not in AuditEntry.objects.filter(target="demo").values_list("actor", flat=True)[:2]


@pytest.mark.parametrize("action", ["pause", "resume", "test"])
def test_who_may_only_view_changes_nothing(demo, send, action):
    """403, and nothing is connected to."""
    status, _ = send("POST", f"{_DEMO}{action}/", may=(_VIEW,))

    assert status == 403
    assert Source.objects.get(name="demo").paused_at is None


def test_a_connection_is_tested_step_by_step(demo, send, streams):
    """With what the source has; the real Valkey answers."""
    status, said = send("POST", f"{_DEMO}test/", may=(_VIEW, _CHANGE))

    assert status == 200
    assert said["ok"], said
    assert "TCP" in [step["name"] for step in said["steps"]]


def test_other_settings_are_tested_without_being_kept(demo, send):
    """The step that fails is named; those behind it were not looked at."""
    settings = {"url": "redis://127.0.0.1:1/0", "stream": "payflow.demo"}

    _, said = send("POST", f"{_DEMO}test/", {"settings": settings}, may=(_VIEW, _CHANGE))

    failed = [step for step in said["steps"] if step["ok"] is False]
    assert not said["ok"]
    assert [step["name"] for step in failed] == ["TCP"]
    assert "1" in failed[0]["detail"]
    assert said["steps"][-1]["ok"] is None
    assert Source.objects.get(name="demo").settings != settings


def test_wrong_settings_are_named_by_their_pointer(demo, send):
    """Before anything is connected to."""
    status, said = send("POST", f"{_DEMO}test/", {"settings": {"stream": 7}}, may=(_VIEW, _CHANGE))

    assert status == 422
    assert said["errors"][0]["pointer"] == "/settings/stream"


def test_every_test_stands_in_the_trail(demo, send):
    """With what this server was made to connect to, and by whom; wrong settings are no test."""
    settings = {"url": "redis://ann@127.0.0.1:1/0", "stream": "payflow.demo"}

    send("POST", f"{_DEMO}test/", {"settings": settings}, may=(_VIEW, _CHANGE))
    send("POST", f"{_DEMO}test/", {"settings": {"stream": 7}}, may=(_VIEW, _CHANGE))

    entry = AuditEntry.objects.get(action="tested the connection of")
    assert (entry.target, entry.actor is not None) == ("demo", True)
    assert entry.details == {
        "broker_type": "redis_streams",
        "settings": {**settings, "url": "redis://***@127.0.0.1:1/0"},
    }


@pytest.mark.parametrize("text", ["a\0", "\ud800"])
@pytest.mark.parametrize("name", ["stream", "url"])
def test_settings_that_nothing_can_hold_are_refused(demo, send, name, text):
    """NUL and half a character: 422 with their place, not an error of ours."""
    settings = {"stream": "payflow.demo", name: f"redis://{text}/0"}

    status, said = send("POST", f"{_DEMO}test/", {"settings": settings}, may=(_VIEW, _CHANGE))

    assert status == 422
    assert said["errors"][0]["pointer"] == f"/settings/{name}"


def test_a_test_that_hangs_ends_and_others_are_told_to_wait(demo, monkeypatch):
    """A person waits seconds, not for ever; two hanging tests leave the other threads alone."""
    go_on = threading.Event()
    monkeypatch.setattr(RedisStreamsConsumer, "diagnose", lambda _self: go_on.wait(10) and [])

    def check() -> connection_check.CheckedConnection:
        return connection_check.check_connection(
            "redis_streams", source="demo", settings=demo.settings, limit_s=0.1
        )

    found = [check(), check()]
    with pytest.raises(connection_check.TooManyChecks):
        check()
    go_on.set()

    assert [row.is_ok for row in found] == [False, False]
    assert "no answer within 0.1 s" in found[0].steps[0].detail


def test_a_consumer_that_breaks_its_promise_shows_no_words(demo, monkeypatch, caplog):
    """An exception's text may hold a secret: its class is enough."""

    def explode(_self: object) -> None:
        raise ValueError("hunter2")

    monkeypatch.setattr(RedisStreamsConsumer, "diagnose", explode)

    found = connection_check.check_connection(
        "redis_streams", source="demo", settings=demo.settings
    )

    assert "ValueError" in found.steps[0].detail
    assert "hunter2" not in found.steps[0].detail + caplog.text


@pytest.mark.parametrize("path", ["nobody/", "nobody/pause/"])
def test_sources_that_are_not_there_are_404(ready, send, path):
    """Whatever is asked of them."""
    method = "POST" if "pause" in path else "GET"

    status, _ = send(method, _LIST + path, may=(_VIEW, _CHANGE))

    assert status == 404
