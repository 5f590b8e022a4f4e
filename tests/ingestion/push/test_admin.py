"""Opening a source for HTTP in the admin: who may, what is refused, what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client, RequestFactory
from django.urls import reverse

from configuration.models import AuditEntry, Source
from ingestion.push.models import PushAccess
from ingestion.push.page import push_card
from tests.ingestion.push.test_signature import SECRET

_OPERATOR = ("view_pushaccess", "add_pushaccess", "change_pushaccess")


@pytest.fixture
def source(db: None) -> Source:
    return Source.objects.create(
        name="shop-events",
        broker_type="redis_streams",
        settings={"stream": "shop"},
        schema_name="transaction",
    )


@pytest.fixture
def staff(db: None) -> Callable[..., Client]:
    """Somebody logged in with just these permissions of `ingestion`."""

    def log_in(*codenames: str) -> Client:
        user = User.objects.create_user(f"staff-{User.objects.count()}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client()
        client.force_login(user)
        return client

    return log_in


def url(action: str, source: Source) -> str:
    return reverse(f"admin:ingestion_pushaccess_{action}", args=[source.pk])


def card(source: Source, *codenames: str) -> Any:
    """The card on the source's page, as somebody with these permissions sees it."""
    request = RequestFactory().get("/")
    request.user = User.objects.create_user(f"looks-{User.objects.count()}")
    request.user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return push_card(request, source)


def test_an_operator_opens_changes_and_closes_a_source(source, staff, monkeypatch):
    """Each with a line in the trail that names people and references, never a secret."""
    monkeypatch.setenv("PUSH_SECRET", SECRET)
    client, shop = staff(*_OPERATOR), User.objects.create_user("shop")

    opened = client.post(url("edit", source), {"signature": "off", "senders": [shop.pk]})
    changed = client.post(
        url("edit", source), {"signature": "enough", "secrets": "env:PUSH_SECRET\n"}
    )
    access = PushAccess.objects.get(source=source)
    asked = client.get(url("close", source))
    closed = client.post(url("close", source))

    assert [answer.status_code for answer in (opened, changed, asked, closed)] == [
        302,
        302,
        200,
        302,
    ]
    assert (access.signature, access.secrets) == ("enough", ["env:PUSH_SECRET"])
    assert not PushAccess.objects.exists()
    entries = list(AuditEntry.objects.order_by("pk"))
    assert [str(entry) for entry in entries] == [
        "opened for HTTP shop-events",
        "changed HTTP of shop-events",
        "closed for HTTP shop-events",
    ]
    assert entries[0].details == {"senders": ["shop"], "signature": "Token only", "secrets": []}
    assert SECRET not in str([entry.details for entry in entries])
    assert {entry.actor for entry in entries} == {User.objects.get(username__startswith="staff")}


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"signature": "off"}, "Choose whose tokens may push."),
        ({"signature": "required", "senders": "shop"}, "Signatures need a secret."),
        ({"signature": "enough"}, "Signatures need a secret."),
        ({"signature": "off", "senders": "shop", "secrets": "env:PUSH_SECRET"}, "Nobody signs"),
        ({"signature": "enough", "secrets": SECRET}, "A reference is env:NAME"),
        ({"signature": "enough", "secrets": "env:PUSH_GONE"}, "PUSH_GONE is not set"),
        ({"signature": "enough", "secrets": "env:PUSH_SHORT"}, "at least 24 bytes"),
        ({"signature": "enough", "secrets": "env:A env:B env:C"}, "There are at most 2"),
        ({"signature": "none", "senders": "shop"}, "Select a valid choice"),
        ({"signature": "off", "senders": "9999999"}, "Select a valid choice"),
        ({"signature": "off", "senders": "gone"}, "Select a valid choice"),
        ({}, "This field is required."),
    ],
)
def test_what_lets_nobody_in_is_refused_at_its_field(source, staff, monkeypatch, sent, said):
    """Nothing changes; a value of a secret is not shown again anywhere but where it was typed."""
    monkeypatch.setenv("PUSH_SECRET", SECRET)
    monkeypatch.setenv("PUSH_SHORT", "whsec_c2hvcnQ=")
    people = {
        "shop": User.objects.create_user("shop").pk,
        "gone": User.objects.create_user("gone", is_active=False).pk,
    }
    if "senders" in sent:
        sent = sent | {"senders": people.get(sent["senders"], sent["senders"])}

    answer = staff(*_OPERATOR).post(url("edit", source), sent)

    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not PushAccess.objects.exists()
    assert not AuditEntry.objects.exists()


def test_who_may_not_is_refused(source, staff):
    """Looking is not opening, opening is not changing."""
    viewer, opener = staff("view_pushaccess"), staff("view_pushaccess", "add_pushaccess")
    shop = User.objects.create_user("shop")
    sent = {"signature": "off", "senders": [shop.pk]}

    refused = [
        viewer.get(url("edit", source)),
        viewer.post(url("edit", source), sent),
        Client().post(url("edit", source), sent),
    ]
    first = opener.post(url("edit", source), sent)
    second = opener.post(url("edit", source), sent)

    assert [answer.status_code for answer in refused] == [403, 403, 302]
    assert (first.status_code, second.status_code) == (302, 403)
    assert opener.post(url("close", source)).status_code == 403
    assert PushAccess.objects.filter(source=source).exists()


def test_operators_may_and_viewers_may_not(db):
    """The roles that come with payflow."""
    may = {
        group.name: set(
            group.permissions.filter(content_type__model="pushaccess").values_list(
                "codename", flat=True
            )
        )
        for group in Group.objects.filter(name__in=["viewer", "operator"])
    }

    assert may == {"viewer": {"view_pushaccess"}, "operator": set(_OPERATOR)}


def test_a_post_needs_the_token_of_the_page(source):
    """Another site cannot open a source with the login of who reads it."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("root"))

    answer = client.post(url("edit", source), {"signature": "off"})

    assert answer.status_code == 403


def test_files_and_sources_that_are_not_there_have_no_page(source, staff):
    Source.objects.filter(pk=source.pk).update(broker_type="file")
    client = staff(*_OPERATOR)

    assert client.get(url("edit", source)).status_code == 404
    assert client.get(url("close", source)).status_code == 404
    source.refresh_from_db()
    assert card(source, "view_pushaccess") is None


def test_the_card_says_how_a_request_looks(source):
    """With the address of this payflow, and what the source wants of it."""
    closed = card(source, *_OPERATOR)
    access = PushAccess.objects.create(source=source, signature="required", secrets=["env:A"])
    access.senders.add(User.objects.create_user("shop"))

    shown = card(source, "view_pushaccess")

    assert closed.empty.startswith("Closed")
    assert closed.more.label == "Open…"
    assert shown.more is None
    assert card(source) is None
    assert dict(shown.facts)["Senders"] == "shop"
    assert "http://testserver/api/v1/sources/shop-events/events" in shown.html
    assert "webhook-signature" in shown.html
    assert "Bearer" in shown.html


def test_the_pages_show_people_and_whether_they_have_a_token(source, staff, token, access):
    """A sender without a token cannot push: the page says so before anybody wonders."""
    User.objects.create_user("till")
    client = staff("view_pushaccess", "add_pushaccess", "change_pushaccess")

    form = client.get(url("edit", access.source)).content.decode()
    listed = client.get(reverse("admin:ingestion_pushaccess_changelist")).content.decode()
    row = client.get(
        reverse("admin:ingestion_pushaccess_change", args=[access.pk])
    ).content.decode()

    assert "1 token<" in form
    assert "no token yet" in form
    assert "demo" in listed
    assert "/api/v1/sources/demo/events" in row
