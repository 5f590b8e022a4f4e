"""Requests that nobody means well: each is told what is wrong, none meets an error of ours."""

from __future__ import annotations

import base64
import json

import pytest
from django.contrib.auth.models import User
from django.test import Client

from configuration.models import ConfigurationVersion
from configuration.versions import new_draft_from
from payflow.lib.api.wire import MAX_BODY
from tests.ingestion.conftest import ready
from tests.pages import fresh_cache

__all__ = ["fresh_cache", "ready"]

pytestmark = pytest.mark.usefixtures("ready")

_ROOT = "/api/v1/configuration/"


@pytest.fixture
def client() -> Client:
    """Somebody who may do everything."""
    client = Client()
    client.force_login(User.objects.create_superuser("all"))
    return client


@pytest.fixture
def draft() -> ConfigurationVersion:
    live = ConfigurationVersion.objects.get(kind="schema", name="transaction", status="active")
    return new_draft_from(live, author=None)


@pytest.mark.parametrize("size", [MAX_BODY + 1, 2 * MAX_BODY])
@pytest.mark.parametrize("kind", ["application/json", "application/yaml"])
def test_a_request_without_end_is_not_read_to_its_end(client, kind, size):
    answer = client.post(f"{_ROOT}validate/", b'"' + b"a" * size, content_type=kind)

    assert answer.status_code == 413
    assert answer.json()["detail"] == "A request has at most 8,388,608 bytes."


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"document":' + '{"a":' * 100_000,
        '{"document": {"name": NaN}}',
        f'{{"document": {{"name": {"1" * 5_000}}}}}',
        "{",
    ],
)
def test_what_is_no_json_is_a_bad_request(client, body):
    for path in ("validate/", "versions/"):
        answer = client.post(f"{_ROOT}{path}", body, content_type="application/json")

        assert answer.status_code == 400
        assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("depth", [100, 400, 900])
def test_a_deep_document_is_refused(client, draft, depth):
    """Reading it, writing it as text and checking it each have an end of their own."""
    deep = '{"document": {"name": "a", "rules": ' + "[" * depth + "]" * depth + "}}"

    for send, path in ((client.post, "validate/"), (client.put, f"versions/{draft.pk}/")):
        answer = send(f"{_ROOT}{path}", deep, content_type="application/json")

        assert answer.status_code in (200, 400, 422)
        if answer.status_code == 200:  # a draft may be wrong
            assert answer.json()["problems"]


@pytest.mark.parametrize("place", ["abc", "\0", "9" * 40, "0" * 5_000, "1.5", "-1"])
@pytest.mark.parametrize("path", ["versions", "activations", "audit"])
def test_a_cursor_that_no_page_gave_leads_nowhere(client, path, place):
    cursor = base64.b64encode(f"p={place}".encode()).decode()

    assert client.get(f"{_ROOT}{path}/", {"cursor": cursor}).status_code == 404


@pytest.mark.parametrize("name", ["kind", "name", "status"])
def test_nothing_is_found_by_a_nul(client, name):
    answer = client.get(f"{_ROOT}versions/", {name: "a\0"})

    assert answer.status_code == 400
    assert "NUL" in answer.json()["detail"]


def test_a_version_to_compare_with_has_a_number_of_a_row(client, draft):
    answer = client.get(f"{_ROOT}versions/{draft.pk}/diff/", {"against": "9" * 5_000})

    assert answer.status_code == 400


def test_half_a_character_is_no_document(client, draft):
    body = json.dumps({"document": {"name": "\ud800"}})

    answer = client.put(f"{_ROOT}versions/{draft.pk}/", body, content_type="application/json")

    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("activate/", {"reason": "\0"}),
        ("ask/", {"reason": "\0"}),
        ("save/?view=yaml", {"note": "\0", "text": "name: transaction"}),
    ],
)
def test_a_nul_in_a_form_is_a_bad_request(client, draft, path, data):
    """Nothing is done, and nobody is told of an error of payflow."""
    answer = client.post(f"/configuration/configurationversion/{draft.pk}/{path}", data)

    assert answer.status_code == 400
    draft.refresh_from_db()
    assert (draft.status, draft.approval_asked_at) == ("draft", None)


def test_a_nul_in_a_text_is_shown_where_it_was_typed(client, draft):
    """The page again, with all that was typed."""
    page = f"/configuration/configurationversion/{draft.pk}/save/?view=yaml"

    answer = client.post(page, {"text": "name: trans\0action # mine"})

    assert answer.status_code == 409
    assert b"action # mine" in answer.content


@pytest.mark.parametrize(
    "written", ["[" * 100_000, '{"url": "\\ud800"}', f'{{"a": {"1" * 5_000}}}']
)
def test_settings_of_a_source_that_cannot_be_kept_are_refused_at_their_field(client, written):
    data = {"name": "a", "broker_type": "redis_streams", "settings": written}

    answer = client.post("/configuration/source/add/", data)

    assert answer.status_code == 422
    assert answer.context["form"].errors["settings"]
