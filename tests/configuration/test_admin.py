"""Pages of sources, versions and bundles."""

from __future__ import annotations

import json

import pytest
from django.contrib.admin.models import LogEntry

from configuration.activation import activate
from configuration.models import Bundle, ConfigurationVersion, Source
from configuration.versions import import_document
from ingestion.models import Partition
from payflow.lib.pages.display import list_url, row_url

_ALL = ("configuration.view_source", "configuration.change_source", "configuration.add_source")


def test_a_pause_is_obeyed_and_shown_with_its_reason(ready, staff):
    """Drainers take nothing of it until it is resumed."""
    source = Source.objects.get(name="demo")
    Partition.objects.create(source=source, name="0", position="0-1")
    client = staff(*_ALL)

    question = client.get(f"/configuration/source/{source.pk}/pause/").content.decode()
    page = client.post(
        f"/configuration/source/{source.pk}/pause/", {"reason": "<b>broker</b> moves"}, follow=True
    ).content.decode()

    assert "Nothing is lost" in question
    assert "&lt;b&gt;broker&lt;/b&gt; moves" in page
    assert not Partition.objects.drainable().exists()

    client.post(f"/configuration/source/{source.pk}/resume/")

    assert Partition.objects.drainable().count() == 1
    assert LogEntry.objects.count() == 2


def test_a_second_pause_keeps_the_first_one(ready, staff):
    """Since when and why it stands still is not overwritten by a second click."""
    source = Source.objects.get(name="demo")
    client = staff(*_ALL)
    client.post(f"/configuration/source/{source.pk}/pause/", {"reason": "first"})
    paused_at = Source.objects.get(name="demo").paused_at

    client.post(f"/configuration/source/{source.pk}/pause/", {"reason": "second"})

    source.refresh_from_db()
    assert (source.paused_at, source.paused_reason) == (paused_at, "first")


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_who_may_only_view_cannot_pause(ready, staff, action):
    """Neither the button nor the address works."""
    source = Source.objects.get(name="demo")
    client = staff("configuration.view_source")

    page = client.get(row_url("configuration.source", source.pk)).content.decode()

    assert f"/{action}/" not in page
    assert client.post(f"/configuration/source/{source.pk}/{action}/").status_code == 403
    assert Source.objects.get(name="demo").paused_at is None


def _form(**fields: object) -> dict[str, object]:
    return {
        "name": "cards",
        "broker_type": "redis_streams",
        "settings": json.dumps({"url": "env:STREAMS_URL", "stream": "cards", "partitions": 2}),
        "schema_name": "transaction",
        "metrics_name": "default",
        "compliance_name": "default",
        **fields,
    }


def test_a_new_source_has_a_bundle_at_once(ready, staff):
    """Workers find it within seconds; without a bundle they would pass it by."""
    client = staff(*_ALL)

    page = client.post("/configuration/source/add/", _form(), follow=True)

    source = Source.objects.get(name="cards")
    assert source.active_bundle is not None
    assert page.redirect_chain[-1][0] == row_url("configuration.source", source.pk)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"settings": '{"url": "env:STREAMS_URL", "stream": "x", "partitions": 0}'}, "partitions"),
        ({"broker_type": "carrier_pigeon"}, "redis_streams"),
        ({"settings": "no json"}, "holds no mapping"),
        ({"name": "demo"}, "already exists"),
    ],
)
def test_a_wrong_source_is_refused_with_the_field_named(ready, staff, fields, said):
    """Before a worker ever sees it."""
    client = staff(*_ALL)

    page = client.post("/configuration/source/add/", _form(**fields)).content.decode()

    assert said in page
    assert Source.objects.filter(name="cards").count() == 0


def test_a_password_in_an_address_is_not_shown(ready, look):
    """It belongs in the environment; who wrote it into the settings need not show it, too."""
    source = Source.objects.get(name="demo")
    Source.objects.update(settings={"url": "redis://someone:hunter2@broker:6379/0"})

    page = look(row_url("configuration.source", source.pk))

    assert "hunter2" not in page
    assert "redis://***@broker:6379/0" in page


def test_the_pages_of_a_version_and_a_bundle_show_their_content(ready, look):
    """The document, what uses it, and whether it is live."""
    version = ConfigurationVersion.objects.get(kind="schema", name="transaction")
    bundle = Bundle.objects.get(source__name="demo")

    shown = look(row_url("configuration.configurationversion", version.pk), html=True)
    content = look(row_url("configuration.bundle", bundle.pk), html=True)

    assert "Fields" in shown
    assert "transaction_id" in shown
    assert row_url("configuration.source", bundle.source_id) in shown
    assert "Active" in content
    assert bundle.hash in content


def test_a_source_lists_its_partitions_and_failures(ingest, event, look):
    """From one page to everything that belongs to it."""
    ingest([event(1), event(2, amount="abc")])
    source = Source.objects.get(name="files-transaction")

    page = look(row_url("configuration.source", source.pk), html=True)

    assert row_url("ingestion.partition", Partition.objects.get().pk) in page
    assert "/deadletter/failuregroup/" in page
    assert "/pause/" not in page, "a file is read by the command that was given it"


def test_lists_of_configuration_are_not_empty(ready, look):
    """What is shipped is there to be looked at."""
    assert "demo" in look(list_url("configuration.source"))
    assert "transaction v1" in look(list_url("configuration.configurationversion"))
    assert "default v1" in look(list_url("configuration.bundle"))
    assert "transaction v1" in look(list_url("configuration.activation"))


def test_an_activation_says_what_it_replaced(ready, look):
    """From a mark on a time axis to the version before it."""
    old = ConfigurationVersion.objects.get(kind="compliance", name="default")
    document = {**old.document, "rules": old.document["rules"][:1]}
    new = import_document(kind="compliance", name="default", document=document)
    activate(new)

    page = look(row_url("configuration.activation", new.activations.get().pk), html=True)
    version = look(row_url("configuration.configurationversion", new.pk))

    assert row_url("configuration.configurationversion", old.pk) in page
    assert "since" in version
    assert f"Roll back to v{old.number}" in version
