"""From draft to live and back: what is kept, who may, and what the database itself refuses."""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction

from configuration.activation import (
    FourEyes,
    GateClosed,
    activate,
    ask_approval,
    gate_of,
    roll_back,
    set_gate,
)
from configuration.models import Activation, AuditEntry, Bundle, ConfigurationVersion, Source
from configuration.versions import (
    NotADraft,
    StaleDraft,
    create_draft,
    discard_draft,
    new_draft_from,
    save_draft,
    text_of,
    text_token,
)
from payflow.lib.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("ready")

Versions = ConfigurationVersion.objects


@pytest.fixture
def author() -> User:
    return User.objects.create_user("author")


@pytest.fixture
def other() -> User:
    return User.objects.create_user("other")


@pytest.fixture
def live() -> ConfigurationVersion:
    return Versions.get(kind="schema", name="transaction", status="active")


def with_note(text: str, note: str = "another") -> str:
    """The same schema with a comment and another description."""
    return f"# {note}\n" + text.replace("A processed", f"A {note}")


@pytest.fixture
def draft(live: ConfigurationVersion, author: User) -> ConfigurationVersion:
    made = new_draft_from(live, author=author)
    return save_draft(made, with_note(text_of(made)), by=author)


# --- drafts ---------------------------------------------------------------------------------------


def test_a_draft_from_a_version_is_its_content_under_the_next_number(live, author):
    """The version it came from is remembered, and its author."""
    made = new_draft_from(live, author=author)

    assert (made.number, made.status, made.base, made.author) == (2, "draft", live, author)
    assert (made.document, made.checksum) == (live.document, live.checksum)
    assert made.problems == []


def test_a_draft_keeps_its_text_with_comments(draft):
    """What its author wrote is what its author finds again."""
    draft.refresh_from_db()

    assert text_of(draft).startswith("# another\n")
    assert draft.document["description"].startswith("A another")


@pytest.mark.parametrize(
    ("text", "pointer", "words"),
    [
        ("columns: [", "", "no YAML"),
        ("name: transaction\ncolumns: {}\n", "/columns", "missing"),
        ("name: other\ncolumns: {}\n", "/name", "keeps its name"),
        ("name: transaction\nfoo: x\ncolumns: {}\n", "/foo", "'foo'"),
    ],
)
def test_a_wrong_draft_is_kept_with_what_is_wrong_and_cannot_go_live(
    draft, author, text, pointer, words
):
    """Work is never lost for being unfinished, and unfinished work is never live."""
    saved = save_draft(draft, text, by=author)

    assert saved.text == text
    assert any(
        problem["pointer"] == pointer and words in problem["message"] for problem in saved.problems
    )
    with pytest.raises(ConfigurationError):
        activate(saved)
    assert Versions.get(pk=saved.pk).status == "draft"


def test_two_editors_of_one_draft_do_not_overwrite_each_other(draft, author, other):
    """The second is told, and the first one's text stays."""
    seen = text_token(draft)
    save_draft(draft, with_note(draft.text, "first"), by=author, expected=seen)

    with pytest.raises(StaleDraft):
        save_draft(draft, with_note(draft.text, "second"), by=other, expected=seen)

    assert "# first" in Versions.get(pk=draft.pk).text


def test_a_discarded_draft_leaves_its_trail(draft, author):
    """The row is gone, what happened to it is not."""
    discard_draft(draft, by=author)

    assert not Versions.filter(pk=draft.pk).exists()
    entries = AuditEntry.objects.filter(target="transaction schema transaction v2")
    assert [entry.action for entry in entries] == ["discarded", "saved", "drafted"]
    assert {entry.actor for entry in entries} == {author}


def test_what_was_live_is_no_draft(live, author):
    """It is neither saved nor discarded, nor is approval asked for it."""
    for refused in (
        lambda: save_draft(live, live.text, by=author),
        lambda: discard_draft(live, by=author),
        lambda: ask_approval(live, by=author, reason=""),
    ):
        with pytest.raises(NotADraft):
            refused()


# --- live and back --------------------------------------------------------------------------------


def test_an_activation_is_one_row_that_says_all(live, draft, author):
    """Who, when, why, from, to, and which bundle each source got."""
    demo = Source.objects.get(name="demo")
    serial = demo.bundle_serial

    entry = activate(draft, by=author, reason="words")

    demo.refresh_from_db()
    assert (entry.version, entry.previous) == (draft, live)
    assert (entry.activated_by, entry.approved_by, entry.reason) == (author, None, "words")
    assert entry.is_rollback is False
    assert demo.bundle_serial == serial + 1
    assert entry.serials == {str(demo.pk): serial + 1}
    assert AuditEntry.objects.filter(action="activated", version=draft, actor=author).count() == 1


def test_rolling_back_makes_the_replaced_version_active_and_is_recorded_as_such(live, draft):
    """One call, the old bundle again under a new serial: workers see that something changed."""
    demo = Source.objects.get(name="demo")
    before = (demo.active_bundle_id, demo.bundle_serial)
    activate(draft)

    entry = roll_back("schema", "transaction", reason="broken")

    demo.refresh_from_db()
    assert (entry.version, entry.previous, entry.is_rollback) == (live, draft, True)
    assert (demo.active_bundle_id, demo.bundle_serial) == (before[0], before[1] + 2)


def test_rolling_back_twice_does_not_bring_back_what_was_rolled_back_from(live, draft, author):
    """Two people, or one in a hurry: the second goes further back, or is told there is nothing."""
    activate(draft)
    third = new_draft_from(draft, author=author)
    activate(save_draft(third, with_note(draft.text, "third"), by=author))

    went_to = [roll_back("schema", "transaction").version for _ in range(2)]

    assert went_to == [draft, live]
    with pytest.raises(ConfigurationError, match="nothing to roll back to"):
        roll_back("schema", "transaction")
    assert Versions.get(pk=live.pk).status == "active"


def test_where_nothing_was_active_before_there_is_nothing_to_roll_back_to(live, draft):
    """The first version has no other before it, and a draft was never live."""
    for target in (None, draft):
        with pytest.raises(ConfigurationError, match="nothing to roll back to"):
            roll_back("schema", "transaction", to=target)
    with pytest.raises(ConfigurationError, match="active already"):
        roll_back("schema", "transaction", to=live)


def test_what_was_saved_again_meanwhile_does_not_go_live(draft, author):
    """What a person looked at is what goes live, or nothing."""
    seen = Versions.get(pk=draft.pk)
    save_draft(draft, with_note(draft.text, "third"), by=author)

    with pytest.raises(ConfigurationError, match="saved again"):
        activate(seen)


# --- the gate -------------------------------------------------------------------------------------


@pytest.fixture
def stricter(draft: ConfigurationVersion, author: User) -> ConfigurationVersion:
    text = text_of(draft).replace("maxLength: 3", "maxLength: 3, pattern: '^[A-Z]'")
    assert "pattern: '^[A-Z]'" in text
    return save_draft(draft, text, by=author)


def test_a_stricter_schema_does_not_pass_the_gate_without_a_written_reason(stricter, author):
    """Where nobody chose a gate it is backward; the reason is kept with the activation."""
    assert gate_of("transaction") == "backward"
    with pytest.raises(GateClosed, match="currency"):
        activate(stricter, by=author)

    entry = activate(stricter, by=author, override_reason="the producer sends capitals")

    assert entry.override_reason == "the producer sends capitals"


def test_an_open_gate_lets_everything_valid_pass_and_its_opening_is_recorded(stricter, author):
    """Who opened it stands in the trail."""
    set_gate("transaction", "none", by=author)

    assert activate(stricter).override_reason == ""
    (entry,) = AuditEntry.objects.filter(action="set the gate of")
    assert (entry.actor, entry.details) == (author, {"before": "backward", "after": "none"})


@pytest.mark.parametrize("kind", ["metrics", "compliance"])
@pytest.mark.parametrize("text", [": : [", "name: another\n"])
def test_what_cannot_be_read_does_not_go_live_as_no_rules_at_all(kind, text, author):
    """Such a text is kept with an empty document, and an empty rule set is a valid one."""
    active = Versions.get(kind=kind, name="default", status="active")
    draft = create_draft(kind=kind, name="default", text=text, author=author)

    with pytest.raises(ConfigurationError):
        activate(draft, by=author)

    active.refresh_from_db()
    assert active.status == "active"


@pytest.mark.parametrize("text", ["name: a\0", "name: \ud800"])
def test_a_text_that_the_database_cannot_hold_is_refused(draft, author, text):
    """As a mistake in the text, by drafts that are made and by those that are saved."""
    with pytest.raises(ConfigurationError, match="cannot be kept"):
        save_draft(draft, text, by=author)
    with pytest.raises(ConfigurationError, match="cannot be kept"):
        create_draft(kind="schema", name="a", text=text)


# --- four eyes ------------------------------------------------------------------------------------


@pytest.fixture
def four_eyes(settings):
    settings.PAYFLOW = {**settings.PAYFLOW, "FOUR_EYES": True}


@pytest.mark.usefixtures("four_eyes")
def test_with_four_eyes_another_person_than_the_author_makes_it_live(draft, author, other):
    """Neither the author nor a command without a name; the second person is the approver."""
    ask_approval(draft, by=author, reason="why")
    for by in (author, None):
        with pytest.raises(FourEyes):
            activate(draft, by=by)

    entry = activate(draft, by=other)

    assert (entry.activated_by, entry.approved_by, entry.reason) == (other, other, "why")


@pytest.mark.usefixtures("four_eyes")
def test_who_asks_for_approval_does_not_give_it(draft, author, other):
    """Otherwise one person could do both for a draft of a third."""
    ask_approval(draft, by=other, reason="")

    with pytest.raises(FourEyes):
        activate(draft, by=other)


@pytest.mark.usefixtures("four_eyes")
def test_an_approval_is_about_the_text_that_was_shown(draft, author):
    """A draft that is saved again has to be asked for again."""
    ask_approval(draft, by=author, reason="why")

    saved = save_draft(draft, with_note(draft.text, "third"), by=author)

    assert (saved.approval_asked_at, saved.approval_reason) == (None, "")


@pytest.mark.usefixtures("four_eyes")
def test_who_saved_a_draft_of_another_does_not_approve_it(draft, other):
    """What they wrote into it would be read by nobody else."""
    third = User.objects.create_user("third")
    saved = save_draft(draft, with_note(draft.text, "third"), by=other)
    saved = save_draft(saved, with_note(saved.text, "fourth"), by=third)

    for by in (other, third):
        with pytest.raises(FourEyes):
            activate(saved, by=by)

    assert activate(saved, by=User.objects.create_user("fifth")).version == saved


@pytest.mark.usefixtures("four_eyes")
def test_rolling_back_waits_for_nobody(draft, author, other):
    """It was approved before, and an outage does not wait."""
    activate(draft, by=other)

    assert roll_back("schema", "transaction", by=author).is_rollback


# --- what the database holds ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE configuration_versions SET document = '{}' WHERE id = %(version)s",
        "UPDATE configuration_versions SET text = 'x' WHERE id = %(version)s",
        "UPDATE configuration_versions SET note = 'x' WHERE id = %(version)s",
        "UPDATE configuration_versions SET status = 'draft' WHERE id = %(version)s",
        "UPDATE configuration_versions SET activated_at = NULL WHERE id = %(version)s",
        "DELETE FROM configuration_versions WHERE id = %(version)s",
        "UPDATE configuration_activations SET reason = 'x' WHERE version_id = %(version)s",
        "DELETE FROM configuration_activations WHERE version_id = %(version)s",
        "UPDATE configuration_bundles SET content = '{}'",
        "DELETE FROM configuration_bundles",
        "UPDATE audit_log SET action = 'x'",
        "DELETE FROM audit_log",
    ],
)
def test_the_database_keeps_what_was_live_and_what_was_done(live, statement):
    """Whoever asks, by whatever way: not only the code holds it."""
    with (
        pytest.raises(IntegrityError, match=r"kept|new draft"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement, {"version": live.pk})


def test_the_database_keeps_what_is_wrong_from_being_live(draft):
    """A draft with problems cannot be made active even by hand."""
    Versions.filter(kind="schema", name="transaction", status="active").update(status="retired")
    wrong = [{"pointer": "", "message": "x"}]

    with pytest.raises(IntegrityError, match="active_is_valid"), transaction.atomic():
        Versions.filter(pk=draft.pk).update(status="active", problems=wrong)


@pytest.mark.django_db(transaction=True)
def test_two_activations_at_once_both_stand_in_the_bundle(author):
    """A schema and a rule set go live together: no bundle lacks one of them."""
    drafts = []
    for kind, name in (("schema", "transaction"), ("compliance", "default")):
        version = Versions.get(kind=kind, name=name, status="active")
        made = new_draft_from(version, author=author)
        text = text_of(made).replace("name:", "# again\nname:", 1)
        drafts.append(save_draft(made, text, by=author))
        assert drafts[-1].problems == []
    start = threading.Barrier(2)

    def go_live(version: ConfigurationVersion) -> None:
        start.wait()
        try:
            activate(version)
        finally:
            connection.close()

    threads = [threading.Thread(target=go_live, args=[version]) for version in drafts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    demo = Source.objects.select_related("active_bundle").get(name="demo")
    assert demo.active_bundle is not None
    assert demo.active_bundle.schema["version"] == 2
    assert demo.active_bundle.content["compliance"]["version"] == 2
    assert Activation.objects.filter(version__in=drafts).count() == 2
    assert Bundle.objects.filter(source=demo).count() == 3


def test_a_draft_made_by_hand_of_a_name_that_is_new_has_number_one(author):
    """Names begin with their first draft."""
    made = create_draft(kind="compliance", name="strict", text="rules: []", author=author)

    assert (made.number, made.status) == (1, "draft")
    assert made.problems[0]["pointer"] == "/name"
