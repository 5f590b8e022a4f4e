"""The pages of a dry run: its form, its job while it runs and afterwards, the card on the draft."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from configuration.models import ConfigurationVersion, Job, Source
from deadletter.models import FailedItem
from ingestion import jobs
from metrics.models import NormalizedTransaction
from payflow.lib.pages.display import list_url, row_url
from tests.pages import text_of

_VIEW = ("configuration.view_job", "configuration.view_configurationversion")
_AUTHOR = (*_VIEW, "configuration.change_configurationversion")


def _digits_only(document: dict[str, Any]) -> None:
    document["json_schema"]["properties"]["merchant_id"] = {"type": "string", "pattern": "^M-"}


@pytest.fixture
def version(ingest, event, draft) -> ConfigurationVersion:
    """A draft under which one of the archived events newly fails."""
    ingest([event(1), event(2, merchant_id="<b>shop</b>"), event(3, amount="abc")])
    made: ConfigurationVersion = draft("schema", _digits_only)
    return made


def _form(version: ConfigurationVersion) -> str:
    return reverse("admin:configuration_job_dry_run", args=[version.pk])


def _source() -> int:
    return Source.objects.get(name="files-transaction").pk


def test_from_the_form_to_the_result(version, staff, broker):
    """What was chosen is run by a worker, and the page of the job tells what it found."""
    client = staff(*_AUTHOR, "ingestion.view_archivefile")
    shown = client.get(_form(version)).content.decode()

    answer = client.post(_form(version), {"span": "last", "last": "100", "sources": [_source()]})

    job = Job.objects.get()
    assert "files-transaction" in shown
    assert answer.url == row_url("configuration.job", job.pk)
    assert "Waiting for a worker" in client.get(answer.url).content.decode()
    assert jobs.run_waiting() == 1

    page = client.get(answer.url).content.decode()

    assert "pattern mismatch" in page
    assert "&quot;&lt;b&gt;shop&lt;/b&gt;&quot;" in page, "what stands in the event"
    event = NormalizedTransaction.objects.get(transaction_id="tx-2")
    assert row_url("metrics.normalizedtransaction", event.pk) in page


def test_bytes_of_events_are_for_those_who_may_see_the_archive(version, staff, broker):
    """The result itself holds none."""
    client = staff(*_AUTHOR)
    client.post(_form(version), {"span": "last", "last": "100", "sources": [_source()]})
    jobs.run_waiting()
    job = Job.objects.get()

    page = client.get(row_url("configuration.job", job.pk)).content.decode()

    assert "pattern mismatch" in page
    assert "&quot;&lt;b&gt;shop" not in page
    assert "<b>shop" not in page


def test_the_page_of_the_draft_shows_its_last_dry_run(version, dry_run, look):
    """And says when the draft was changed since."""
    dry_run(version)
    url = row_url("configuration.configurationversion", version.pk)

    before = look(url)
    ConfigurationVersion.objects.filter(pk=version.pk).update(checksum="0" * 64)
    after = look(url)

    assert "Dry run on archived events 3 events in" in before
    assert "Newly failing 1" in before
    assert "The draft was changed since" not in before
    assert "The draft was changed since" in after


def test_a_newly_passing_item_is_linked(ingest, event, draft, dry_run, look):
    """From the dry run to the failed item that it would mend."""
    ingest([event(1, customer_id="")])
    version = draft(
        "schema",
        lambda d: d["json_schema"]["properties"].update(customer_id={"type": "string"}),
    )

    dry_run(version)

    page = look(row_url("configuration.job", Job.objects.get().pk), html=True)
    assert row_url("deadletter.faileditem", FailedItem.objects.get().pk) in page


def test_results_of_rules_have_pages_too(ingest, event, draft, dry_run, look):
    """Series with both lines, findings with their events."""
    ingest([event(n, amount=amount) for n, amount in enumerate([20_000, 60_000])])

    def metrics(document: dict[str, Any]) -> None:
        rule = next(r for r in document["metrics"] if r["name"] == "high_value")
        rule["where"] = "amount > 50000"

    def compliance(document: dict[str, Any]) -> None:
        rule = next(r for r in document["rules"] if r["name"] == "aml_large_amount")
        rule["where"] = "amount > 10000"

    drafts = [draft("metrics", metrics), draft("compliance", compliance)]
    for one in drafts:
        dry_run(one)

    series, findings = [
        look(row_url("configuration.job", job.pk)) for job in Job.objects.order_by("pk")
    ]
    cards = [look(row_url("configuration.configurationversion", one.pk)) for one in drafts]

    assert "high_value, all events edit Changes 2 1 1" in series
    assert "amount > 50000" in series
    assert "aml_large_amount: only under the draft" in findings
    assert "Series that change 1" in cards[0]
    assert "New findings 1" in cards[1]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"span": "last", "last": "0"}, "greater than or equal to 1"),
        ({"span": "last", "last": ""}, "How many events?"),
        ({"span": "custom", "since": "2026-03-02T10:00"}, "a beginning and an end"),
        (
            {"span": "custom", "since": "2026-03-02T10:00", "until": "2026-03-02T09:00"},
            "ends before it begins",
        ),
        ({"span": "for ever"}, "for ever"),
        ({"span": "last", "last": "9", "sources": []}, "Choose at least one source"),
        ({"span": "last", "last": "9", "sources": ["0"]}, "not one of the available"),
    ],
)
def test_a_wrong_choice_is_said_beside_its_field(version, staff, fields, said):
    """Nothing is started."""
    chosen = {"sources": [_source()], **fields}

    answer = staff(*_AUTHOR).post(_form(version), chosen)

    assert answer.status_code == 422
    assert said in text_of(answer.content.decode()) or said == fields["span"]
    assert not Job.objects.exists()


def test_a_draft_that_nothing_uses_says_so(ready, staff):
    """There is nothing that it could be compared with."""
    version = ConfigurationVersion.objects.get(kind="schema", name="stripe")

    page = staff(*_AUTHOR).get(_form(version)).content.decode()

    assert "No source uses stripe" in page
    assert "Start dry run" not in page


def test_a_viewer_sees_results_and_starts_nothing(version, staff, dry_run):
    """Neither the buttons nor the addresses work."""
    dry_run(version)
    job = Job.objects.get()
    Job.objects.update(state="running")
    client = staff(*_VIEW)

    page = client.get(row_url("configuration.job", job.pk)).content.decode()

    assert "/cancel/" not in page
    assert client.get(_form(version)).status_code == 403
    assert client.post(_form(version), {}).status_code == 403
    assert client.post(f"/configuration/job/{job.pk}/cancel/").status_code == 403
    Job.objects.filter(cancel_asked_at=None).get()


def test_who_may_not_see_jobs_sees_none(version, staff, dry_run):
    """Not the list, not a job, not how far it is."""
    dry_run(version)
    job = Job.objects.get()
    client = staff("configuration.view_configurationversion")

    assert client.get(list_url("configuration.job")).status_code == 403
    assert client.get(row_url("configuration.job", job.pk)).status_code == 403
    assert client.get(f"/configuration/job/{job.pk}/live/").status_code == 403


def test_a_running_job_can_be_cancelled_from_its_page(version, staff):
    """By a POST; a link that is only followed does nothing."""
    job = Job.objects.create(kind="dry_run", title="A job", state="running", version=version)
    client = staff(*_AUTHOR)
    url = reverse("admin:configuration_job_cancel", args=[job.pk])

    assert client.get(url).status_code == 405
    page = client.post(url, follow=True).content.decode()

    assert "ends within seconds" in page
    job.refresh_from_db()
    assert job.cancel_asked_at is not None


def test_the_list_of_jobs_says_how_it_is_filled(ready, look, version):
    """Empty it says what to do; a filter finds jobs by their state."""
    assert "manage.py dry_run" in look(list_url("configuration.job"))

    Job.objects.create(kind="dry_run", title="One that failed", state="failed")
    Job.objects.create(kind="dry_run", title="One that ended", state="done")

    assert "One that ended" in look(list_url("configuration.job"))
    only = look(list_url("configuration.job", state__exact="failed"))
    assert "One that failed" in only
    assert "One that ended" not in only


def test_how_far_a_job_is_can_be_fetched(version):
    """A part of a page, which tells the page when the job is over."""
    user = User.objects.create_superuser("root")
    client = Client()
    client.force_login(user)
    job = Job.objects.create(kind="dry_run", title="A job", state="running", done=5, total=10)
    url = reverse("admin:configuration_job_live", args=[job.pk])

    running = client.get(url).content.decode()
    Job.objects.update(state="done")
    over = client.get(url).content.decode()

    assert 'max="10" value="5"' in running
    assert "5 of 10 events" in running
    assert "data-over" not in running
    assert "data-over" in over
