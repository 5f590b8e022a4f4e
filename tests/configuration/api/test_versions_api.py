"""The REST API of versions: what a program can do, and how it is told what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from configuration.activation import set_gate
from configuration.models import Activation, ConfigurationVersion
from configuration.versions import text_of
from tests.ingestion.conftest import ready
from tests.pages import fresh_cache, staff

__all__ = ["fresh_cache", "ready", "staff"]

pytestmark = pytest.mark.usefixtures("ready")

_ROOT = "/api/v1/configuration/"
_ALL = tuple(
    f"configuration.{verb}_configurationversion"
    for verb in ("view", "add", "change", "activate", "rollback")
)


@pytest.fixture
def api(staff) -> Client:
    """A client of somebody who may do everything with versions."""
    client: Client = staff(*_ALL, "configuration.view_activation", "configuration.view_auditentry")
    return client


@pytest.fixture
def live() -> ConfigurationVersion:
    return ConfigurationVersion.objects.get(kind="schema", name="transaction", status="active")


def send(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """The answer of a JSON call."""
    call = getattr(client, method)
    return call(f"{_ROOT}{path}", body or {}, content_type="application/json", headers=headers)


def test_a_draft_is_posted_as_yaml_activated_and_rolled_back(api, live):
    """The whole way of a change, by calls alone; each step is in the trail."""
    text = "# sent by a program\n" + text_of(live).replace("A processed", "A changed")
    posted = api.post(f"{_ROOT}versions/", text, content_type="application/yaml")
    draft = posted.json()

    went_live = send(api, "post", f"versions/{draft['id']}/activate/", {"reason": "words"})
    back = send(api, "post", f"versions/{live.pk}/roll-back/", {"reason": "no"})

    assert (posted.status_code, draft["number"], draft["problems"]) == (201, 2, [])
    assert draft["text"].startswith("# sent by a program\n")
    assert went_live.status_code == 200
    assert went_live.json()["version"]["status"] == "active"
    assert went_live.json()["reason"] == "words"
    assert back.json()["is_rollback"] is True
    assert back.json()["previous"]["id"] == draft["id"]
    trail = api.get(f"{_ROOT}audit/").json()["results"]
    assert [entry["action"] for entry in trail[:3]] == ["rolled back to", "activated", "drafted"]
    listed = api.get(f"{_ROOT}activations/").json()["results"]
    assert [entry["is_rollback"] for entry in listed[:2]] == [True, False]


def test_a_wrong_document_is_answered_with_every_place(api, live):
    """Validation keeps nothing; the pointers and lines are those of the document sent."""
    text = text_of(live).replace("unit: major", "unit: pennies")

    answer = send(api, "post", "validate/", {"text": text}).json()

    assert answer["valid"] is False
    (error,) = answer["errors"]
    assert error["pointer"] == "/columns/amount/unit"
    assert error["line"] == next(
        number for number, line in enumerate(text.splitlines(), 1) if "pennies" in line
    )
    assert not ConfigurationVersion.objects.filter(status="draft").exists()


def test_a_wrong_draft_is_kept_and_not_activated(api, live):
    """422 with the same words as in the admin and on the command line."""
    document = {**live.document, "colour": "red"}
    draft = send(api, "post", "versions/", {"document": document}).json()

    answer = send(api, "post", f"versions/{draft['id']}/activate/")

    assert draft["problems"][0]["pointer"] == "/colour"
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"][0]["pointer"] == "/colour"
    assert Activation.objects.filter(version_id=draft["id"]).count() == 0


def test_a_closed_gate_is_a_conflict_that_a_reason_passes(api, live):
    """The answer names what would break; the reason is kept."""
    set_gate("transaction", "full", by=None)
    text = text_of(live).replace("maxLength: 3", "maxLength: 3, pattern: '^[A-Z]+$'")
    draft = send(api, "post", "versions/", {"text": text}).json()
    path = f"versions/{draft['id']}/activate/"

    refused = send(api, "post", path)
    passed = send(api, "post", path, {"override_reason": "they never do"})

    assert refused.status_code == 409
    assert "currency" in refused.json()["errors"][0]["detail"]
    assert passed.json()["override_reason"] == "they never do"


def test_two_editors_are_kept_apart_by_the_etag(api, live):
    """The second PUT with the ETag of the first look is refused with 412."""
    draft = send(api, "post", f"versions/{live.pk}/draft/").json()
    path = f"versions/{draft['id']}/"
    tag = api.get(f"{_ROOT}{path}").headers["ETag"]
    first = {"text": draft["text"] + "# first\n"}

    saved = send(api, "put", path, first, **{"If-Match": tag})
    stale = send(api, "put", path, {"text": draft["text"]}, **{"If-Match": tag})

    assert saved.status_code == 200
    assert saved.headers["ETag"] != tag
    assert stale.status_code == 412
    assert api.get(f"{_ROOT}{path}").json()["text"].endswith("# first\n")


def test_what_was_saved_since_it_was_looked_at_does_not_go_live(api, live):
    """The approver's ETag is of the text that they read."""
    draft = send(api, "post", f"versions/{live.pk}/draft/")
    path, seen = f"versions/{draft.json()['id']}/", draft["ETag"]
    text = text_of(live).replace("A processed", "An unread")
    saved = send(api, "put", path, {"text": text})

    refused = send(api, "post", f"{path}activate/", **{"If-Match": seen})
    taken = send(api, "post", f"{path}activate/", **{"If-Match": saved["ETag"]})

    assert (refused.status_code, taken.status_code) == (412, 200)
    assert "look at it once more" in refused.json()["detail"]


def test_the_difference_is_by_field_with_its_compatibility(api, live):
    """Against the active version where none is named."""
    text = text_of(live).replace("maxLength: 3", "maxLength: 3, pattern: '^[A-Z]+$'")
    draft = send(api, "post", "versions/", {"text": text}).json()

    answer = api.get(f"{_ROOT}versions/{draft['id']}/diff/").json()

    (change,) = answer["changes"]
    assert (change["subject"], change["what"]) == ("currency", "pattern")
    assert answer["from"]["number"] == 1
    assert answer["compatibility"]["backward"]["ok"] is False
    assert answer["compatibility"]["forward"]["ok"] is True


@pytest.mark.parametrize(
    ("request_line", "body", "status"),
    [
        ("put versions/{live}/", {"text": "x: 1"}, 409),
        ("delete versions/{live}/", None, 409),
        ("post versions/", {"text": "columns: ["}, 422),
        ("post versions/", {"text": "a: 1", "document": {}}, 400),
        ("post versions/", {}, 400),
        ("post versions/{live}/roll-back/", None, 409),
        ("get versions/{live}/diff/?against=x", None, 400),
        ("get versions/999999/", None, 404),
        ("patch versions/{live}/", None, 405),
    ],
)
def test_what_cannot_be_is_refused_in_one_form(api, live, request_line, body, status):
    """Every error is problem+json with title, status and detail."""
    method, path = request_line.split()
    if method == "get":
        answer = api.get(_ROOT + path.format(live=live.pk))
    else:
        answer = send(api, method, path.format(live=live.pk), body)

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("needed", "method", "path"),
    [
        ("view_configurationversion", "get", "versions/"),
        ("view_configurationversion", "get", "versions/{live}/"),
        ("view_configurationversion", "get", "versions/{live}/diff/"),
        ("change_configurationversion", "post", "validate/"),
        ("add_configurationversion", "post", "versions/"),
        ("add_configurationversion", "post", "versions/{live}/draft/"),
        ("change_configurationversion", "put", "versions/{live}/"),
        ("change_configurationversion", "delete", "versions/{live}/"),
        ("change_configurationversion", "post", "versions/{live}/ask-approval/"),
        ("activate_configurationversion", "post", "versions/{live}/activate/"),
        ("rollback_configurationversion", "post", "versions/{live}/roll-back/"),
        ("view_activation", "get", "activations/"),
        ("view_auditentry", "get", "audit/"),
    ],
)
def test_each_call_needs_its_permission(staff, live, needed, method, path):
    """401 without a person, 403 without the permission, and with it something else."""
    url = path.format(live=live.pk)
    everything = {*_ALL, "configuration.view_activation", "configuration.view_auditentry"}

    def status(client: Client) -> int:
        code: int = send(client, method, url).status_code
        return code

    assert status(Client()) == 401
    assert status(staff(*everything - {f"configuration.{needed}"})) == 403
    assert status(staff(f"configuration.{needed}")) not in (401, 403, 500)


def test_versions_are_found_by_kind_name_and_status_and_paged(api, live):
    """Newest first; the next page is a link."""
    for _ in range(3):
        send(api, "post", f"versions/{live.pk}/draft/")

    first = api.get(f"{_ROOT}versions/?kind=schema&name=transaction&page_size=2").json()
    rest = api.get(first["next"]).json()
    drafts = api.get(f"{_ROOT}versions/?status=draft").json()["results"]

    assert [row["number"] for row in first["results"]] == [4, 3]
    assert [row["number"] for row in rest["results"]] == [2, 1]
    assert len(drafts) == 3
    assert "text" not in drafts[0]
