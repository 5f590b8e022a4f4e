"""Another way to the same log: settings change while a source is read, its log never does."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from configuration.models import AuditEntry, Source
from configuration.sources import (
    change_settings,
    define,
    pause,
    read_source,
    resume,
    shown_setting,
    unhidden,
)
from payflow.lib.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("ready")

_OLD = {"url": "env:STREAMS_URL", "stream": "cards", "partitions": 2}


@pytest.fixture
def source() -> Source:
    """A source of two streams."""
    return Source.objects.create(
        name="cards", broker_type="redis_streams", schema_name="transaction", settings=_OLD
    )


def test_changed_settings_get_a_serial_and_a_trail(source):
    """Workers see the serial; the trail has what was and what is, and nothing that stayed."""
    ann = User.objects.create_user("ann")

    names = change_settings(source, {**_OLD, "linger_ms": 50}, by=ann)

    row = Source.objects.get(name="cards")
    entry = AuditEntry.objects.get(action="changed settings")
    assert names == ["linger_ms"]
    assert (row.settings["linger_ms"], row.settings_serial) == (50, 1)
    assert (entry.actor, entry.target) == (ann, "cards")
    assert entry.details == {"before": {}, "after": {"linger_ms": 50}}


def test_the_same_settings_are_no_change(source):
    """Nobody reconnects for nothing."""
    names = change_settings(source, dict(_OLD))

    assert names == []
    assert Source.objects.get(name="cards").settings_serial == 0
    assert not AuditEntry.objects.filter(action="changed settings").exists()


@pytest.mark.parametrize(
    ("new", "pointers"),
    [
        ({**_OLD, "stream": "other"}, ["/settings/stream"]),
        ({"url": "env:STREAMS_URL", "stream": "cards"}, ["/settings/partitions"]),
        ({**_OLD, "linger_ms": 1, "colour": "red"}, ["/settings/colour", "/settings/linger_ms"]),
        ({**_OLD, "url": "redis://u:secret@h/0"}, ["/settings/url"]),
    ],
)
def test_another_log_or_a_wrong_field_changes_nothing(source, new, pointers):
    """Every bad field is named, also where a default stands for a value; no secret is repeated."""
    with pytest.raises(ConfigurationError) as caught:
        change_settings(source, new)

    assert [problem.pointer for problem in caught.value.problems] == pointers
    assert "secret" not in str(caught.value.problems)
    assert Source.objects.filter(name="cards", settings=_OLD, settings_serial=0).exists()


def test_a_default_that_is_written_out_is_the_same_log():
    """What counts is what the settings say, not how."""
    source = Source.objects.create(
        name="four",
        broker_type="redis_streams",
        schema_name="transaction",
        settings={"stream": "s"},
    )

    names = change_settings(source, {"stream": "s", "partitions": 4})

    assert names == ["partitions"]


def test_a_file_changes_settings_and_routes_together_or_not_at_all(source):
    """What is wrong in the second half undoes the first."""
    text = "name: cards\nbroker_type: redis_streams\nschema_name: {}\nsettings:\n  url: env:X\n"
    text += "  stream: cards\n  partitions: 2\n"

    with pytest.raises(ConfigurationError):
        define(read_source(text.format("nonsense")))
    before = Source.objects.get(name="cards")
    _, done = define(read_source(text.format("simulator")))

    after = Source.objects.get(name="cards")
    assert (before.settings, before.settings_serial, before.schema_name) == (_OLD, 0, "transaction")
    assert done == "changed"
    assert (after.settings["url"], after.settings_serial, after.schema_name) == (
        "env:X",
        1,
        "simulator",
    )


def test_a_pause_and_its_end_stand_in_the_trail_once(source):
    """Who, when, why; a second click is no second entry."""
    ann = User.objects.create_user("ann")

    said = [
        pause(source, reason="broker moves", by=ann),
        pause(source, reason="again", by=ann),
        resume(source, by=ann),
        resume(source, by=ann),
    ]

    entries = list(AuditEntry.objects.filter(target="cards").order_by("id"))
    assert said == [True, False, True, False]
    assert [(entry.action, entry.actor) for entry in entries] == [
        ("paused source", ann),
        ("resumed source", ann),
    ]
    assert entries[0].details == {"reason": "broker moves"}


def test_settings_that_no_longer_read_can_be_mended(source):
    """A rule that came with a release must not lock a source up; its log stays all the same."""
    Source.objects.filter(pk=source.pk).update(settings={**_OLD, "linger_ms": 1})

    with pytest.raises(ConfigurationError) as caught:
        change_settings(source, {**_OLD, "stream": "other"})
    names = change_settings(source, dict(_OLD))

    assert [problem.pointer for problem in caught.value.problems] == ["/settings/stream"]
    assert names == ["linger_ms"]


def test_credentials_in_an_address_are_hidden_at_any_depth():
    """Whoever wrote them there: pages, the API and the trail show none."""
    shown = shown_setting({"properties": {"proxy": "http://ann:hunter2@proxy:80"}, "linger_ms": 5})

    assert shown == {"properties": {"proxy": "http://***@proxy:80"}, "linger_ms": 5}


def test_what_was_hidden_stays_when_it_is_sent_back(source):
    """Who changes something else in a form does not overwrite a user with three stars."""
    old = {**_OLD, "url": "redis://ann@streams:6379/0"}
    Source.objects.filter(pk=source.pk).update(settings=old)

    names = change_settings(source, {**_OLD, "url": shown_setting(old["url"]), "linger_ms": 50})

    assert names == ["linger_ms"]
    assert Source.objects.get(name="cards").settings == {**old, "linger_ms": 50}


def test_what_is_hidden_goes_to_no_other_address():
    """It is kept as a whole or not at all, at any depth."""
    kept = {"properties": {"proxy": "http://ann:hunter2@proxy:80"}, "linger_ms": 5}
    sent = {"properties": {"proxy": "http://***@evil:80"}, "linger_ms": 5}

    assert unhidden(sent, kept) == sent
    assert unhidden({"properties": {"proxy": "http://***@proxy:80"}}, kept) == {
        "properties": kept["properties"]
    }
