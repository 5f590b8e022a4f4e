"""What likely caused a kind of failure: the nearest change for its source, and nothing else."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import RequestFactory

from configuration.cause_line import cause_line, likely, undo_buttons
from configuration.causes import cause_near, causes_near
from configuration.changes import changes_between, marks_of
from configuration.models import Activation, ConfigurationVersion, Deployment, Source

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def source() -> Source:
    return Source.objects.create(name="demo", broker_type="file", schema_name="transaction")


def version(number: int, *, kind: str = "schema", status: str = "retired") -> ConfigurationVersion:
    return ConfigurationVersion.objects.create(
        kind=kind,
        name="transaction",
        number=number,
        document={},
        status=status,
        activated_at=NOON,
    )


def went_live(source: Source, *, s: float, number: int = 7, **fields: Any) -> Activation:
    """A version of the source's schema goes live `s` seconds before noon."""
    status, kind = fields.pop("status", "retired"), fields.pop("kind", "schema")
    row = version(number, kind=kind, status=status)
    values = {
        "version": row,
        "previous": row,
        "activated_at": NOON - timedelta(seconds=s),
        "serials": {str(source.pk): 2},
    }
    return Activation.objects.create(**values | fields)


def test_the_nearest_activation_before_is_the_cause(source):
    """Fourteen seconds rather than five minutes."""
    went_live(source, s=300, number=6)
    entry = went_live(source, s=14)

    cause = cause_near(NOON, source)

    assert cause
    assert (cause.activation, cause.seconds) == (entry, 14)
    assert cause.after == "14 s after transaction v7 went active"


@pytest.mark.parametrize(
    "fields",
    [
        {"s": 601},
        {"s": -2},
        {"s": 14, "previous": None},
        {"s": 14, "serials": {"999": 2}},
        {"s": 14, "kind": "metrics"},
    ],
    ids=["too long before", "after", "the installation", "another source", "rules refuse nothing"],
)
def test_what_cannot_be_the_cause_is_not_named(source, fields):
    """A wrong suspicion is worse than none."""
    went_live(source, **fields)

    assert cause_near(NOON, source) is None


def test_a_batch_that_was_read_just_before_is_blamed_on_what_it_was_judged_by(source):
    """It is dated by its arrival, and evaluated some milliseconds later."""
    went_live(source, s=-0.2)

    cause = cause_near(NOON, source)

    assert cause
    assert cause.after == "right after transaction v7 went active"


def test_a_new_release_is_a_cause_but_the_installation_is_not(source):
    """payflow itself may refuse what it took before."""
    Deployment.objects.create(
        release="1.0", engine_version=2, first_seen_at=NOON - timedelta(minutes=5)
    )
    assert cause_near(NOON, source) is None

    Deployment.objects.create(
        release="1.1", engine_version=2, first_seen_at=NOON - timedelta(minutes=1)
    )

    cause = cause_near(NOON, source)
    assert cause
    assert cause.after == "1 min 00 s after payflow 1.1 was deployed"
    assert not cause.can_be_undone
    assert "Started 1 min 00 s after <a" in re.sub("<(?!a).*?>", "", cause_line(cause))


def test_many_are_found_by_two_queries(source, django_assert_num_queries):
    """A list of groups asks once."""
    for number in range(5):
        went_live(source, s=60 * number, number=number + 1)
    moments = {n: (NOON - timedelta(seconds=60 * n), source.pk) for n in range(5)}

    with django_assert_num_queries(2):
        found = causes_near(moments)

    assert [found[n].name for n in range(5)] == [f"transaction v{n + 1}" for n in range(5)]


def test_roll_back_stands_beside_it_for_those_who_may_while_it_is_active(source):
    """Not for others, and not when the version has been replaced already."""
    before = version(6)
    went_live(source, s=14, previous=before, status="active")
    cause = cause_near(NOON, source)
    request = RequestFactory().get("/")
    request.user = User.objects.create_superuser("ana")

    (button,) = undo_buttons(request, cause)
    assert button.label == "Roll back to transaction v6…"
    assert button.url.endswith(f"/{before.pk}/rollback/")
    assert "Roll back…" in likely(cause, may_undo=True)
    assert "Roll back…" not in likely(cause, may_undo=False)
    request.user = AnonymousUser()
    assert undo_buttons(request, cause) == []
    ConfigurationVersion.objects.filter(number=7).update(status="retired")
    request.user = User.objects.get()
    assert undo_buttons(request, cause_near(NOON, source)) == []


def test_changes_are_marks_on_an_axis(source):
    """Near ones are one mark; the first release of all is no change."""
    for release, minutes in (("1.0", 50), ("1.1", 5)):
        Deployment.objects.create(
            release=release, engine_version=2, first_seen_at=NOON - timedelta(minutes=minutes)
        )
    went_live(source, s=1800)
    went_live(source, s=280, number=8)
    since = NOON - timedelta(hours=1)

    marks = marks_of(changes_between(since, NOON), since=since, until=NOON)

    assert [mark.label for mark in marks] == ["Schema v7", "2 changes"]
    assert marks[0].at == pytest.approx(0.5)
