"""API tokens: made for oneself, shown once, kept as a hash, revoked."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken

from tests.pages import fresh_cache, staff, text_of

__all__ = ["fresh_cache", "staff"]

pytestmark = pytest.mark.django_db

_MINE = ("knox.add_authtoken", "knox.view_authtoken", "knox.delete_authtoken")
_LIST = "/knox/authtoken/"


@pytest.fixture
def ready(db: None) -> None:
    """Nothing but a database."""


def make(client: Client) -> str:
    """A token of the user of a client, as its page shows it."""
    user: str = client.session["_auth_user_id"]
    page = client.post(f"{_LIST}add/", {"user": user, "days": "30"}, follow=True)
    assert page.status_code == 200
    assert "no-store" in page.headers["Cache-Control"]
    (token,) = set(re.findall(r"payflow_[0-9a-f]{50,}", page.content.decode()))
    return str(token)


def test_a_token_is_shown_once_and_stored_as_a_hash(staff):
    """Whoever reads the table cannot call the API with what stands there."""
    client = staff(*_MINE)

    token = make(client)

    row = AuthToken.objects.get()
    assert token not in row.digest
    assert row.token_key == token[:15]
    assert 29 <= (row.expiry - timezone.now()).days <= 30
    again = client.get(f"{_LIST}{row.pk}/change/")
    assert token not in again.content.decode()
    assert token[:15] in text_of(again.content.decode())


def test_a_token_calls_the_api_as_its_person_until_it_is_revoked(staff):
    """What it may do is what the person may do; a deleted token does nothing."""
    client = staff(*_MINE, "configuration.view_configurationversion")
    header = {"Authorization": f"Bearer {make(client)}"}

    def call(path: str) -> int:
        return Client(headers=header).get(f"/api/v1/configuration/{path}").status_code

    assert call("versions/") == 200
    assert call("audit/") == 403
    client.post(f"{_LIST}{AuthToken.objects.get().pk}/delete/", {"post": "yes"})
    assert call("versions/") == 401


def test_nobody_makes_a_token_for_another_person_or_sees_theirs(staff):
    """Only a superuser may: else a token would be a way to become somebody."""
    other, me = staff(*_MINE), staff(*_MINE)
    make(other)

    refused = me.post(f"{_LIST}add/", {"user": other.session["_auth_user_id"], "days": "30"})

    assert refused.status_code == 200
    assert "valid choice" in text_of(refused.content.decode())
    assert AuthToken.objects.count() == 1
    assert "No token yet" in text_of(me.get(_LIST).content.decode())


def test_who_may_not_make_tokens_is_refused(staff):
    """The page asks for its permission like every other."""
    assert staff().get(f"{_LIST}add/").status_code == 403
