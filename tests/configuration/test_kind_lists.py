"""The lists of schemas and rules by name, and how a new one begins."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.urls import reverse

from configuration.models import AuditEntry, ConfigurationVersion
from configuration.new_version import STARTS
from configuration.versions import check_text, create_draft
from payflow.lib.pages.display import list_url, row_url

VIEW, ADD = "configuration.view_configurationversion", "configuration.add_configurationversion"
SLUGS = {"schema": "schemas", "metrics": "metric-rules", "compliance": "compliance-rules"}


@pytest.fixture
def ready(db: None) -> None:
    """What payflow ships."""
    call_command("load_defaults", verbosity=0)


def address(kind: str, end: str = "") -> str:
    return reverse(f"admin:configuration_{SLUGS[kind]}{end}")


def test_each_kind_has_its_list_and_its_place_in_the_sidebar(staff):
    """By name, with what is active and what is being written."""
    draft = create_draft(kind="schema", name="stripe", text="name: stripe")
    client = staff(VIEW)

    schemas = client.get(address("schema")).content.decode()
    rules = client.get(address("metrics")).content.decode()
    compliance = client.get(address("compliance")).content.decode()
    version = client.get(row_url("configuration.configurationversion", draft.pk)).content.decode()

    for name in ("simulator", "stripe", "transaction"):
        assert f">{name}</a>" in schemas
    assert row_url("configuration.configurationversion", draft.pk) in schemas
    assert ">approval_rate</a>" in rules
    assert "kyc_missing_customer_id" in compliance
    for page in (schemas, version):
        assert page.count("text-primary-600") >= 1
        assert all(address(kind) in page for kind in SLUGS)


@pytest.mark.parametrize("kind", SLUGS)
def test_a_new_name_begins_with_a_draft_that_is_valid(staff, kind):
    """From the small example, and from what is active."""
    client = staff(VIEW, ADD)
    start = ConfigurationVersion.objects.filter(kind=kind, status="active").first()
    assert start is not None

    client.post(address(kind, "_new"), {"name": "acme-1"})
    client.post(address(kind, "_new"), {"name": "acme-2", "start": str(start.pk)})

    drafts = ConfigurationVersion.objects.filter(kind=kind, name__startswith="acme")
    assert [(row.name, row.status, row.problems) for row in drafts.order_by("name")] == [
        ("acme-1", "draft", []),
        ("acme-2", "draft", []),
    ]


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "x" * 65, "stripe", "a: b", "{}", "ü"])
def test_a_name_that_cannot_be_is_refused_in_words(staff, name):
    """And what was typed is still there."""
    client = staff(VIEW, ADD)

    answer = client.post(address("schema", "_new"), {"name": name})

    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()
    assert ConfigurationVersion.objects.filter(kind="schema").count() == 3


def test_who_may_not_add_has_no_way_to(staff):
    """Neither the button nor the address."""
    client = staff(VIEW)

    assert "_new" not in client.get(address("schema")).content.decode()
    assert client.post(address("schema", "_new"), {"name": "x"}).status_code == 403
    assert staff().get(address("schema")).status_code == 403


@pytest.mark.parametrize("kind", SLUGS)
def test_the_small_examples_are_valid(db, kind):
    """What a person begins with has no mistakes of ours."""
    assert check_text(kind, "new", STARTS[kind]) == (check_text(kind, "new", STARTS[kind])[0], [])


def test_the_audit_log_says_who_did_what(staff):
    """In the order in which it was done, with a page of each entry."""
    client = staff(VIEW, ADD, "configuration.view_auditentry")
    client.post(address("schema", "_new"), {"name": "acme"})
    entry = AuditEntry.objects.get(target__contains="acme")

    page = client.get(list_url("configuration.auditentry")).content.decode()
    detail = client.get(row_url("configuration.auditentry", entry.pk)).content.decode()

    assert "acme v1" in page
    assert str(entry.actor) in page
    assert "drafted" in detail
