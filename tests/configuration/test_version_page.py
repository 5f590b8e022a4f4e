"""The page of a version: who sees which buttons, and what they do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from configuration.activation import activate
from configuration.models import Activation, AuditEntry, CompatibilityGate, ConfigurationVersion
from configuration.versions import create_draft, text_token
from payflow.lib.pages.display import row_url

SHIPPED = Path(__file__).resolve().parent.parent.parent / "ingestion" / "schemas"
TEXT = (SHIPPED / "stripe.yaml").read_text()
VERSION = "configuration.{}_configurationversion"
VIEW, ADD, CHANGE, ACTIVATE, ROLLBACK = (
    VERSION.format(verb) for verb in ("view", "add", "change", "activate", "rollback")
)
AUTHOR = (VIEW, ADD, CHANGE)
APPROVER = (VIEW, ACTIVATE, ROLLBACK, "configuration.change_compatibilitygate")


def url(version: ConfigurationVersion, action: str) -> str:
    return reverse(f"admin:configuration_configurationversion_{action}", args=[version.pk])


def page_of(client: Client, version: ConfigurationVersion, **query: str) -> str:
    response = client.get(row_url("configuration.configurationversion", version.pk), query)
    assert response.status_code == 200
    return response.content.decode()


@pytest.fixture
def ready(db: None) -> None:
    """One active schema is all that these pages need."""
    activate(create_draft(kind="schema", name="stripe", text=TEXT))


@pytest.fixture
def active(ready: None) -> ConfigurationVersion:
    return ConfigurationVersion.objects.get(kind="schema", name="stripe")


@pytest.fixture
def make_draft(active: ConfigurationVersion) -> Callable[..., ConfigurationVersion]:
    def make(text: str = TEXT, **values: Any) -> ConfigurationVersion:
        return create_draft(kind="schema", name="stripe", text=text, base=active, **values)

    return make


def test_a_new_draft_begins_with_the_text_of_any_version(active, staff):
    """Under the next number, by who asked for it."""
    client = staff(*AUTHOR)

    page = client.post(url(active, "draft"), follow=True).content.decode()

    draft = ConfigurationVersion.objects.get(name="stripe", number=2)
    assert draft.document == active.document
    assert draft.author is not None
    assert "Save draft" in page


def test_yaml_is_saved_as_it_was_typed(make_draft, staff):
    """Comments and all; what is wrong is said, and kept out of what is live."""
    draft = make_draft()
    text = TEXT.replace("{path: status", "{path: stat") + "# mine\n"

    page = staff(*AUTHOR).post(
        url(draft, "save") + "?view=yaml",
        {"text": text.replace("\n", "\r\n"), "expected": text_token(draft), "note": "why"},
        follow=True,
    )

    draft.refresh_from_db()
    assert draft.text == text
    assert draft.note == "why"
    assert page.redirect_chain[-1][0].endswith("?view=yaml")


def test_what_another_saved_meanwhile_is_not_overwritten(make_draft, staff):
    """What was typed stays on the page, beside the reason."""
    draft = make_draft()
    client = staff(*AUTHOR)
    seen = text_token(draft)
    client.post(url(draft, "save") + "?view=yaml", {"text": TEXT + "# 1\n", "expected": seen})

    answer = client.post(
        url(draft, "save") + "?view=yaml", {"text": TEXT + "# mine\n", "expected": seen}
    )

    draft.refresh_from_db()
    assert draft.text == TEXT + "# 1\n"
    assert answer.status_code == 409
    assert "# mine" in answer.content.decode()
    assert "Somebody else saved this draft" in answer.content.decode()


def test_what_a_form_cannot_read_is_shown_again(make_draft, staff):
    """Nobody types a form twice."""
    draft = make_draft()
    typed = {"expected": text_token(draft), "r0.type": "string", "r0.constraints": "min 3"}

    answer = staff(*AUTHOR).post(url(draft, "save") + "?view=form", typed)

    draft.refresh_from_db()
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "min 3</textarea>" in page
    assert "write name, colon, value" in page
    assert draft.text == TEXT


def test_typing_is_checked_without_saving(make_draft, staff):
    """With the line in YAML, with the row in a form; as saving would say it."""
    draft = make_draft()
    client = staff(*AUTHOR)
    wrong = TEXT.replace("amount: {type: integer, minimum: 0}", "amount: {type: integr}")
    line = 1 + wrong[: wrong.index("integr}")].count("\n")

    in_yaml = client.post(url(draft, "check") + "?view=yaml", {"text": wrong}).json()["problems"]
    in_form = client.post(
        url(draft, "check") + "?view=form", {"r2.type": "integr", "r2.constraints": "minimum: 0"}
    ).json()["problems"]

    draft.refresh_from_db()
    assert [problem["line"] for problem in in_yaml] == [line]
    assert [problem["row"] for problem in in_form] == ["r2"]
    assert (draft.text, draft.problems) == (TEXT, [])


def test_a_wrong_draft_says_what_is_wrong_and_cannot_go_live(make_draft, staff):
    """By its place; there is no button that would be refused."""
    draft = make_draft(TEXT.replace("amount: {type: integer", "amount: {type: integr"))
    client = staff(*AUTHOR, *APPROVER)

    page = page_of(client, draft)
    client.post(url(draft, "activate"), {"reason": "now"})

    draft.refresh_from_db()
    assert "must be one or several of" in page
    assert "1 mistake" in page
    assert "Activate v2" not in page
    assert draft.status == "draft"


def test_text_that_is_no_yaml_is_shown_as_yaml_with_its_line(make_draft, staff):
    """There is nothing to make a form of."""
    draft = make_draft("name: stripe\ncolumns: {\n")

    page = page_of(staff(*AUTHOR), draft, view="form")

    assert "columns: {" in page
    assert 'data-line="' in page


def test_going_live_is_recorded_and_shown_in_the_history(make_draft, active, staff):
    """From, to, who and why; then back again by one confirmed click."""
    draft = make_draft(TEXT.replace("minLength: 1", "minLength: 1, maxLength: 64"))
    client = staff(*APPROVER)
    CompatibilityGate.objects.create(schema_name="stripe", mode="none")

    live = client.post(url(draft, "activate"), {"reason": "<b>ids</b>"}, follow=True)
    question = client.get(url(active, "rollback")).content.decode()
    back = client.post(url(active, "rollback"), {"reason": "too short"}, follow=True)

    assert "stripe v2 is active" in live.content.decode()
    assert "Roll back to stripe v1" in question
    assert Activation.objects.latest("id").is_rollback
    page = back.content.decode()
    assert "v1, again" in page
    assert "Roll back: too short" in page
    assert "&lt;b&gt;ids&lt;/b&gt;" in page
    assert AuditEntry.objects.filter(
        action="rolled back to", target="transaction schema stripe v1"
    ).exists()


def test_a_closed_gate_takes_a_written_reason(make_draft, staff):
    """Without one nothing changes, and the reasons are on the page."""
    draft = make_draft(TEXT.replace("required: [id,", "required: [id, livemode,"))
    client = staff(*APPROVER)

    page = page_of(client, draft)
    refused = client.post(url(draft, "activate"), {"reason": "x"}, follow=True).content.decode()

    draft.refresh_from_db()
    assert "Not backward" in page
    assert 'name="override"' in page
    assert "Nothing was changed. The gate refuses this" in refused
    assert draft.status == "draft"

    client.post(url(draft, "activate"), {"reason": "x", "override": "all send it"})

    draft.refresh_from_db()
    assert draft.status == "active"
    assert draft.activations.get().override_reason == "all send it"


def test_the_gate_is_set_by_who_may(make_draft, staff):
    """And by nobody else; only to what there is."""
    draft = make_draft()
    approver, author = staff(*APPROVER), staff(*AUTHOR)

    assert author.post(url(draft, "gate"), {"mode": "none"}).status_code == 403
    approver.post(url(draft, "gate"), {"mode": "anything"})
    assert not CompatibilityGate.objects.exists()
    approver.post(url(draft, "gate"), {"mode": "full"})
    assert CompatibilityGate.objects.get().mode == "full"


def test_who_wrote_a_draft_asks_where_four_eyes_are_wanted(make_draft, staff, settings):
    """The second person approves on the same page."""
    settings.PAYFLOW = {**settings.PAYFLOW, "FOUR_EYES": True}
    author, approver = staff(*AUTHOR, *APPROVER), staff(*APPROVER)
    author_row = author.get("/").wsgi_request.user
    draft = make_draft(author=author_row)

    assert "a second person makes it live" in page_of(author, draft)
    author.post(url(draft, "ask"), {"reason": "ready"})
    author.post(url(draft, "activate"), {"reason": "myself"})
    draft.refresh_from_db()
    assert draft.status == "draft"

    assert "Approve and activate" in page_of(approver, draft)
    approver.post(url(draft, "activate"), {"reason": "seen"})
    draft.refresh_from_db()
    assert draft.status == "active"


def test_what_was_saved_since_the_page_was_read_is_not_activated(make_draft, staff):
    """Nobody makes live what he has not seen."""
    draft = make_draft()

    page = staff(*APPROVER).post(
        url(draft, "activate"), {"reason": "x", "checksum": "another"}, follow=True
    )

    draft.refresh_from_db()
    assert draft.status == "draft"
    assert "saved again meanwhile" in page.content.decode()


def test_a_discarded_draft_is_gone_and_an_active_one_stays(make_draft, active, staff):
    """Only drafts can be; the audit trail keeps that there was one."""
    draft = make_draft()
    client = staff(*AUTHOR)

    assert "Discard" in client.get(url(draft, "discard")).content.decode()
    client.post(url(draft, "discard"))
    client.post(url(active, "discard"))

    assert not ConfigurationVersion.objects.filter(pk=draft.pk).exists()
    assert ConfigurationVersion.objects.filter(pk=active.pk).exists()
    assert AuditEntry.objects.filter(action="discarded").exists()


def test_the_export_is_the_text(make_draft, staff):
    """As its author wrote it, under a name that says what it is."""
    draft = make_draft(TEXT + "# mine\n")

    answer = staff(VIEW).get(url(draft, "export"))

    assert answer.content.decode() == TEXT + "# mine\n"
    assert "schema-stripe-v2.yaml" in answer["Content-Disposition"]


def test_any_two_versions_are_compared_by_field(make_draft, active, staff):
    """Whatever is asked for that is none of them is answered by the active one."""
    draft = make_draft(TEXT.replace("minLength: 1", "minLength: 2"))
    client = staff(VIEW)

    for asked in (str(active.pk), "", "nonsense", "99999999999999999999"):
        page = client.get(url(draft, "compare"), {"with": asked}).content.decode()
        assert "What changed from v1 to v2" in page
        assert "minLength" in page


@pytest.mark.parametrize(
    ("action", "needs"),
    [
        ("draft", ADD),
        ("save", CHANGE),
        ("check", CHANGE),
        ("discard", CHANGE),
        ("ask", CHANGE),
        ("activate", ACTIVATE),
        ("rollback", ROLLBACK),
    ],
)
def test_nobody_does_what_he_may_not(make_draft, staff, action, needs):
    """Neither by address, nor is there a button for it."""
    draft = make_draft()
    others = {VIEW, ADD, CHANGE, ACTIVATE, ROLLBACK} - {needs}

    client = staff(*others)

    assert client.post(url(draft, action), {"text": "x"}).status_code == 403
    assert url(draft, action) not in page_of(client, draft)


def test_a_viewer_has_no_forms_at_all(make_draft, active, staff):
    """Only what can be read, on every view."""
    client = staff(VIEW)
    draft = make_draft()

    for version in (draft, active):
        for view in ("form", "yaml", "mapping"):
            page = page_of(client, version, view=view)
            main = page.partition('<main class="pf">')[2].partition("</main>")[0]
            assert "<textarea" not in main
            assert "<button" not in main
            assert "data-check" not in main


def test_a_version_that_is_not_there_is_not_found(ready, staff):
    """Whoever asks."""
    client = staff(*AUTHOR, *APPROVER)

    for action in ("export", "compare", "rollback", "discard"):
        address = reverse(f"admin:configuration_configurationversion_{action}", args=[999_999])
        assert client.get(address).status_code == 404
