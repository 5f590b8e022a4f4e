"""Dry runs by the REST API: started, followed to their result, cancelled."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from configuration.models import ConfigurationVersion, Job
from configuration.versions import new_draft_from, save_draft, text_of
from ingestion import jobs
from tests.pages import fresh_cache, staff

__all__ = ["fresh_cache", "staff"]

_RIGHTS = tuple(
    f"configuration.{name}"
    for name in (
        "view_configurationversion",
        "change_configurationversion",
        "view_job",
        "change_job",
    )
)


@pytest.fixture
def draft(ingest, event) -> ConfigurationVersion:
    """A draft that refuses one of three archived events."""
    ingest([event(1), event(2, channel="pos"), event(3)])
    live = ConfigurationVersion.objects.get(kind="schema", name="transaction", status="active")
    text = text_of(live).replace(
        "channel: {type: string, minLength: 1}", "channel: {type: string, enum: [web]}"
    )
    made = save_draft(new_draft_from(live, author=None), text, by=None)
    assert made.problems == []
    return made


def post(client: Client, path: str, body: Any = None) -> Any:
    return client.post(f"/api/v1/{path}", body or {}, content_type="application/json")


def test_a_program_learns_what_a_draft_would_refuse(staff, draft):
    """202 with a job; once a worker has done it, the job holds the counts."""
    client = staff(*_RIGHTS)
    started = post(client, f"configuration/versions/{draft.pk}/dry-runs/", {"last": 100})
    waiting = client.get(started.headers["Location"]).json()

    jobs.run_waiting()

    done = client.get(started.headers["Location"]).json()
    assert (started.status_code, waiting["state"], done["state"]) == (202, "queued", "done")
    assert done["done"] == done["total"] == 3
    assert done["result"]["newly_failing"] == 1


def test_what_cannot_be_run_is_named(staff, draft):
    """The field of the request, or why the draft does not fit."""
    client, path = staff(*_RIGHTS), f"configuration/versions/{draft.pk}/dry-runs/"
    asked = [
        {"last": 0},
        {"last": 1, "since": "2026-03-01T00:00Z"},
        {"since": "2026-03-02T00:00Z", "until": "2026-03-01T00:00Z"},
        {"sources": ["nonsense"]},
    ]

    answers = [post(client, path, body) for body in asked]

    assert [answer.status_code for answer in answers] == [400] * 4
    pointers = [answer.json()["errors"][0]["pointer"] for answer in answers]
    assert pointers == ["/last", "/last", "/until", "/sources"]
    assert not Job.objects.exists()


def test_a_waiting_job_is_cancelled_once(staff, draft):
    """The second call is told that it is over."""
    client = staff(*_RIGHTS)
    job = post(client, f"configuration/versions/{draft.pk}/dry-runs/").json()

    first, second = (post(client, f"jobs/{job['id']}/cancel/") for _ in range(2))

    assert (first.status_code, first.json()["state"]) == (202, "cancelled")
    assert second.status_code == 409


def test_who_only_looks_starts_and_cancels_nothing(staff, draft):
    """A viewer gets 403, a stranger 401."""
    viewer = staff("configuration.view_configurationversion", "configuration.view_job")
    path = f"configuration/versions/{draft.pk}/dry-runs/"

    assert post(viewer, path).status_code == 403
    assert post(viewer, "jobs/1/cancel/").status_code == 403
    assert post(Client(), path).status_code == 401
    assert Client().get("/api/v1/jobs/1/").status_code == 401


@pytest.mark.parametrize("right", ["activate_configurationversion", "change_job"])
def test_who_may_cancel_on_the_page_may_by_a_call(staff, draft, right):
    """Whoever may start a dry run, and whoever keeps traffic running."""
    client = staff("configuration.view_job", f"configuration.{right}")
    by_call, by_page = (
        Job.objects.create(kind="dry_run", title="a", version=draft) for _ in range(2)
    )

    assert post(client, f"jobs/{by_call.pk}/cancel/").status_code == 202
    assert client.post(f"/configuration/job/{by_page.pk}/cancel/").status_code == 302
    assert set(Job.objects.values_list("state", flat=True)) == {"cancelled"}
