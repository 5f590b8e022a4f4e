"""The forms of sources: a new one, other settings, a test before anything is kept."""

from __future__ import annotations

import pytest
from django.urls import reverse

from configuration.documents import read_text
from configuration.models import AuditEntry, Source
from ingestion.source_page.brokers import brokers
from ingestion.sources.factory import ConsumerFactory
from tests.pages import text_of

_ALL = ("configuration.view_source", "configuration.change_source", "configuration.add_source")
_ADD = "/configuration/source/add/"


def _form(**fields: str) -> dict[str, str]:
    return {
        "name": "cards",
        "broker_type": "redis_streams",
        "settings": "url: env:STREAMS_URL\nstream: cards  # as YAML\npartitions: 2\n",
        "schema_name": "transaction",
        "route_table": "",
        "metrics_name": "default",
        "compliance_name": "default",
        **fields,
    }


@pytest.mark.parametrize("broker_type", [name for name in brokers() if name != "file"])
def test_every_example_is_taken(broker_type):
    """Who begins with an example must not begin with an error."""
    settings, _ = read_text(brokers()[broker_type].example)

    assert ConsumerFactory.validate(broker_type, settings)


def test_a_source_is_made_from_yaml_and_noted(ready, staff):
    """With who made it."""
    client = staff(*_ALL)

    page = client.post(_ADD, _form(), follow=True).content.decode()

    source = Source.objects.get(name="cards")
    assert source.settings == {"url": "env:STREAMS_URL", "stream": "cards", "partitions": 2}
    assert "Made source cards. Workers find it within seconds." in page
    made = AuditEntry.objects.get(action="made source")
    assert made.actor is not None
    assert made.details["settings"] == source.settings


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"settings": "stream: cards\npartitions: 0\n"}, "line 2: partitions is 0"),
        ({"settings": "colour: red\nstream: cards\npartitions: 0\n"}, "line 3: partitions is 0"),
        ({"settings": "stream: [cards\n"}, "no YAML or JSON"),
        ({"settings": "stream: cards\nurl: redis://u:hunter2@h/0\n"}, "line 2: url is refused"),
        ({"settings": "a: " + "x" * 40_000}, "at most 32,768 characters"),
        ({"route_table": "by: {}\nroutes: []\n"}, "line 1"),
        ({"schema_name": "nonsense"}, "nonsense is none of these"),
        ({"broker_type": "carrier_pigeon"}, "carrier_pigeon is none of these"),
        ({"broker_type": "file"}, "a source of files has none"),
        ({"name": "a b", "settings": "stream: 7"}, "stream is 7"),
        ({"name": "a b"}, "letters, digits"),
        ({"name": ""}, "required"),
        ({"name": "demo"}, "A source demo already exists"),
        ({"settings": "stream: cards\0"}, "cannot stand here"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(ready, staff, fields, said):
    """With its line; nothing is kept, what was typed stands there again."""
    client = staff(*_ALL)

    answer = client.post(_ADD, _form(**fields))

    page = text_of(answer.content.decode())
    assert answer.status_code == 422
    assert said in page
    assert "is none of these" in said or "hunter2" not in page.partition("url is refused")[2]
    assert not Source.objects.filter(name="cards").exists()


def test_a_test_of_a_form_keeps_nothing(ready, staff, streams):
    """Its steps come as a part of the page to the script, as a page of its own without."""
    client = staff(*_ALL)
    url = reverse("admin:configuration_source_test_new")

    page = client.post(url, _form(name="")).content.decode()
    part = client.post(url, _form(), headers={"X-Requested-With": "fetch"}).content.decode()

    assert "The connection works" in page
    assert "<main" in page
    assert "The connection works" in part
    assert "<main" not in part
    assert not Source.objects.filter(name="cards").exists()
    tests = AuditEntry.objects.filter(action="tested the connection of")
    assert {(row.target, row.details["settings"]["stream"]) for row in tests} == {
        ("new", "cards"),
        ("cards", "cards"),
    }


def test_a_test_of_wrong_settings_says_what_is_wrong(ready, staff):
    """Without connecting anywhere."""
    client = staff(*_ALL)
    url = reverse("admin:configuration_source_test_new")

    page = text_of(client.post(url, _form(settings="partitions: 0")).content.decode())

    assert "Settings: this is what is wrong" in page
    assert "stream is missing" in page


def test_settings_change_and_say_which(demo, staff):
    """The log stays; the others may change, and workers are told."""
    client = staff(*_ALL)
    url = reverse("admin:configuration_source_settings", args=[demo.pk])
    settings = "url: env:STREAMS_URL\nstream: payflow.demo\npartitions: 4\nlinger_ms: 40\n"

    form = client.get(url).content.decode()
    page = client.post(url, {"settings": settings}, follow=True).content.decode()
    again = client.post(url, {"settings": settings}, follow=True).content.decode()

    assert "partitions, stream cannot change" in form
    assert "of demo. Workers connect anew within a second." in page
    assert "The settings of demo are as they were." in again
    row = Source.objects.get(name="demo")
    assert (row.settings["linger_ms"], row.settings_serial) == (40, 1)
    assert AuditEntry.objects.get(action="changed settings").actor is not None


def test_of_two_who_change_settings_the_second_is_told(demo, staff):
    """Nobody takes back unseen what somebody else has just changed."""
    client = staff(*_ALL)
    url = reverse("admin:configuration_source_settings", args=[demo.pk])
    form = {"settings": "stream: payflow.demo\npartitions: 4\nlinger_ms: 40\n", "serial": "0"}

    assert 'name="serial" value="0"' in client.get(url).content.decode()
    first = client.post(url, form)
    second = client.post(url, {**form, "settings": "stream: payflow.demo\npartitions: 4\n"})

    assert (first.status_code, second.status_code) == (302, 422)
    assert "somebody else has changed them" in text_of(second.content.decode())
    assert Source.objects.get(name="demo").settings["linger_ms"] == 40


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stream: other\npartitions: 4\n", "line 1: stream names the log"),
        ("stream: payflow.demo\nlinger_ms: 1\n", "line 2: linger_ms is 1"),
        ("- a\n", "holds no mapping"),
    ],
)
def test_another_log_is_refused_at_its_line(demo, staff, text, said):
    """Nothing changes, and nobody connects anew."""
    client = staff(*_ALL)

    answer = client.post(
        reverse("admin:configuration_source_settings", args=[demo.pk]), {"settings": text}
    )

    assert answer.status_code == 422
    assert said in text_of(answer.content.decode())
    assert Source.objects.get(name="demo").settings_serial == 0


@pytest.mark.parametrize("action", ["settings", "test"])
def test_settings_are_for_those_who_may_change_a_source(demo, staff, action):
    """Neither seen, nor tried, nor changed."""
    client = staff("configuration.view_source")
    url = reverse(f"admin:configuration_source_{action}", args=[demo.pk])

    answer = client.post(url, {"settings": "stream: x"})

    assert answer.status_code == 403


def test_a_test_needs_a_post(demo, staff):
    """A link that somebody is sent connects to nothing."""
    client = staff(*_ALL)

    assert client.get(reverse("admin:configuration_source_test", args=[demo.pk])).status_code == 405


def test_who_may_not_add_gets_no_form(demo, staff):
    """Not even to test with."""
    client = staff("configuration.view_source", "configuration.change_source")

    assert client.get(_ADD).status_code == 403
    assert client.post(reverse("admin:configuration_source_test_new"), _form()).status_code == 403
