"""Where a version has arrived: what the card says about each worker."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from configuration.activation import activate, roll_back
from configuration.models import Acknowledgement, Activation, ConfigurationVersion, Source
from configuration.versions import import_document
from ingestion.drain import Drainer
from ingestion.models import Drainer as DrainerRow
from ingestion.propagation import propagation_of, stragglers
from tests.ingestion.streaming import demo, drain_all, publish

pytestmark = pytest.mark.usefixtures("ready", "streams")


def next_version(mark: str) -> Activation:
    """Activate a version of the schema that differs in its merchant category."""
    active = ConfigurationVersion.objects.get(kind="schema", name="transaction", status="active")
    document = {
        **active.document,
        "columns": {**active.document["columns"], "merchant_category": {"constant": mark}},
    }
    version = import_document(kind="schema", name="transaction", document=document)
    return activate(version, reason="stricter codes", override_reason="a test")


def a_worker(slot: int, *, started_s: float = -60, source: str = "demo") -> str:
    """A worker that runs some bundle of the source, and lives for an hour: tests may be slow."""
    now = timezone.now()
    row = DrainerRow.objects.create(
        slot=slot,
        owner=f"host:{slot}",
        seen_at=now + timedelta(hours=1),
        started_at=now + timedelta(seconds=started_s),
        bundles={source: demo().active_bundle_id},
    )
    return row.owner


def answers(owner: str, entry: Activation, *, after_s: float, problem: str = "") -> None:
    source = demo()
    assert source.active_bundle
    Acknowledgement.objects.create(
        source=source,
        serial=entry.serials[str(source.pk)],
        bundle=source.active_bundle,
        owner=owner,
        acknowledged_at=entry.activated_at + timedelta(seconds=after_s),
        problem=problem,
    )


def test_the_first_batch_under_a_version_is_found_for_each_partition(streams, event):
    """A drainer takes the version while it drains; what it read before stays under the old one."""
    publish(streams, [event(n) for n in range(8)])
    drain_all()
    entry = next_version("new")
    publish(streams, [event(n) for n in range(8, 12)])
    seen: list[Any] = []
    stop = threading.Event()

    def look(_done: object) -> None:
        seen.append(propagation_of(entry))
        if len(seen) == 4:
            stop.set()

    Drainer(stop=stop, sources=["demo"], on_commit=look).run()

    (worker,) = seen[-1].workers
    assert worker.runs_it
    assert sorted(first.partition for first in worker.partitions) == ["0", "1", "2", "3"]
    assert all(first.batch_id and first.position for first in worker.partitions)
    assert seen[-1].is_told
    assert not seen[0].is_told


def test_seconds_count_to_the_last_answer_and_name_the_slowest():
    """Two workers took 0.2 s and 0.8 s."""
    owners = [a_worker(1), a_worker(2)]
    entry = next_version("new")
    for owner, seconds in zip(owners, (0.2, 0.8), strict=True):
        answers(owner, entry, after_s=seconds)

    found = propagation_of(entry)

    assert found.is_everywhere
    assert [round(w.seconds or 0, 3) for w in found.workers] == [0.2, 0.8]
    assert found.slowest
    assert found.slowest.slot == 2


def test_a_worker_that_was_busy_answers_the_later_of_two_activations():
    """What went live after it holds the version as well: the answer counts for both."""
    owner = a_worker(1)
    schema = next_version("new")
    rules = ConfigurationVersion.objects.get(kind="metrics", status="active")
    changed = import_document(
        kind="metrics",
        name=rules.name,
        document={**rules.document, "metrics": rules.document["metrics"][:-1]},
    )
    later = activate(changed)
    answers(owner, later, after_s=0.5)

    assert propagation_of(schema).is_everywhere
    assert propagation_of(later).is_everywhere


def test_who_was_started_later_began_with_it():
    """It has no seconds: it never ran anything else."""
    entry = next_version("new")
    answers(a_worker(1, started_s=5), entry, after_s=7)

    (worker,) = propagation_of(entry).workers

    assert worker.runs_it
    assert worker.seconds is None


def test_other_workers_and_the_dead_do_not_count():
    """One that reads another source, and one that has been silent for a minute."""
    owner = a_worker(1)
    a_worker(2, source="elsewhere")
    a_worker(3)
    DrainerRow.objects.filter(slot=3).update(seen_at=timezone.now() - timedelta(minutes=1))
    entry = next_version("new")
    answers(owner, entry, after_s=0.1)

    found = propagation_of(entry)

    assert [worker.slot for worker in found.workers] == [1]
    assert found.is_everywhere


def test_a_worker_that_cannot_load_it_is_a_straggler_with_its_reason():
    """The alarm names it, until it runs the bundle."""
    owner = a_worker(1)
    entry = next_version("new")
    answers(owner, entry, after_s=0.1, problem="built for another engine")

    found = propagation_of(entry)
    (late,) = stragglers()[demo().pk, "demo"]

    assert found.refused
    assert not found.is_everywhere
    assert late.problem == "built for another engine"
    Acknowledgement.objects.filter(owner=owner).update(problem="")
    assert stragglers() == {}


def test_silence_is_an_alarm_after_ten_seconds():
    """A second is nothing to worry about."""
    a_worker(1)
    entry = next_version("new")
    assert stragglers() == {}

    answers("host:9", entry, after_s=-30)

    (late,) = stragglers()[demo().pk, "demo"]
    assert late.problem == ""


# --- the card -------------------------------------------------------------------------------------


@pytest.fixture
def see(client: Client) -> Any:
    """The card's text, as a superuser sees it."""
    client.force_login(User.objects.create_superuser("ana", password="x"))

    def fetch(entry: Activation) -> str:
        response = client.get(f"/propagation/{entry.pk}/")
        assert response.status_code == 200
        return str(response.content.decode())

    return fetch


def test_the_card_waits_then_proves(see):
    """It looks again each second while an answer is missing, and not at all once all is told."""
    owners = [a_worker(1), a_worker(2)]
    entry = next_version("new")
    answers(owners[0], entry, after_s=0.25)

    before = see(entry)
    answers(owners[1], entry, after_s=0.5)
    after = see(entry)

    assert f"1 of 2 workers run {entry.version}" in before
    assert 'data-every="1"' in before
    assert f"Every worker runs {entry.version}" in after
    assert "2 of 2 in 0.50 s, slowest worker 2" in after
    assert "data-every" not in after
    assert "stricter codes" in after


def test_the_card_says_why_a_worker_refuses(see):
    """In words, escaped."""
    entry_owner = a_worker(1)
    entry = next_version("new")
    answers(entry_owner, entry, after_s=0.1, problem="<b>no such column</b>")

    html = see(entry)

    assert "1 of 1 workers refuse" in html
    assert "&lt;b&gt;no such column" in html


def test_the_card_of_a_replaced_version_lists_the_answers_of_then(see):
    """The workers may be gone; the proof stays."""
    owner = a_worker(1)
    entry = next_version("new")
    answers(owner, entry, after_s=0.3)
    roll_back("schema", "transaction")
    DrainerRow.objects.all().delete()

    html = see(entry)

    assert "What workers answered" in html
    assert "0.30 s" in html


def test_without_workers_the_card_says_so(see):
    """Nobody runs it, so nothing is proven."""
    assert "No worker is alive" in see(next_version("new"))


def test_the_card_is_for_those_who_may_view_versions(client):
    """Others get 403, strangers the login, and a wrong number 404."""
    entry = next_version("new")
    url = f"/propagation/{entry.pk}/"
    assert client.get(url).status_code == 302
    client.force_login(User.objects.create_user("bo", password="x", is_staff=True))
    assert client.get(url).status_code == 403
    client.force_login(User.objects.create_superuser("ana", password="x"))
    assert client.get("/propagation/999999/").status_code == 404
    assert client.post(url).status_code == 405


def test_an_activation_without_sources_has_no_card(client):
    """A schema that no source uses arrives nowhere."""
    Source.objects.all().update(schema_name="stripe")
    entry = next_version("new")
    client.force_login(User.objects.create_superuser("ana", password="x"))

    assert entry.serials == {}
    assert client.get(f"/configuration/activation/{entry.pk}/change/").status_code == 200
    assert client.get(f"/propagation/{entry.pk}/").status_code == 403
