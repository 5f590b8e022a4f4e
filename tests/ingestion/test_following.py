"""How a drainer follows the active bundles and answers each change of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from configuration.models import Acknowledgement, Bundle, Source
from ingestion import following
from ingestion.bundles import CompiledBundle
from ingestion.holdings import Holdings
from ingestion.readers import SourceReader
from payflow.lib.errors import BundleMissing
from tests.ingestion.streaming import demo

pytestmark = pytest.mark.usefixtures("ready", "streams")


@pytest.fixture
def holdings(ready: None) -> Holdings:
    """A drainer's holdings that have found their source and answered its first bundle."""
    held = Holdings(owner="worker", sources=["demo"])
    held.discover()
    assert held.follow()
    return held


def reader_of(holdings: Holdings) -> SourceReader:
    (reader,) = holdings
    return reader


def another_bundle() -> Bundle:
    """The active one under another hash, made active as an activation does it."""
    source = demo()
    assert source.active_bundle
    bundle = Bundle.objects.create(
        source=source, hash=f"again-{source.bundle_serial}", content=source.active_bundle.content
    )
    Source.objects.filter(pk=source.pk).update(
        active_bundle=bundle, bundle_serial=source.bundle_serial + 1
    )
    return bundle


def answer() -> Acknowledgement:
    return Acknowledgement.objects.get(serial=demo().bundle_serial)


def fail_with(exc: Exception) -> Callable[[int], CompiledBundle]:
    def load(_bundle: int) -> CompiledBundle:
        raise exc

    return load


def test_a_change_is_answered_once_by_the_clock_of_the_database(holdings):
    """One row says which bundle runs since when; looking again says nothing more."""
    before = timezone.now()
    bundle = another_bundle()

    assert holdings.follow()
    assert not holdings.follow()

    found = answer()
    assert (found.owner, found.bundle_id, found.problem) == ("worker", bundle.pk, "")
    assert before <= found.acknowledged_at <= timezone.now()
    assert reader_of(holdings).bundle.id == bundle.pk  # type: ignore[union-attr]
    assert Acknowledgement.objects.count() == 2


def test_going_back_to_a_bundle_that_ran_before_is_answered_anew(holdings):
    """A roll back has a serial of its own, although its bundle is known."""
    first = demo().active_bundle_id
    another_bundle()
    holdings.follow()
    serial = demo().bundle_serial + 1

    Source.objects.filter(name="demo").update(active_bundle=first, bundle_serial=serial)
    assert holdings.follow()

    assert (answer().serial, answer().bundle_id) == (serial, first)


def test_a_bundle_that_does_not_load_is_answered_with_its_problem(holdings, monkeypatch, caplog):
    """The last good one stays, the alarm is raised once, and loading is not tried at every look."""
    good = reader_of(holdings).bundle
    tries: list[int] = []

    def load(bundle: int) -> CompiledBundle:
        tries.append(bundle)
        raise BundleMissing("it was built for another engine")

    monkeypatch.setattr(following, "load_bundle", load)
    bad = another_bundle()
    for _ in range(3):
        assert not holdings.follow()

    assert tries == [bad.pk]
    assert answer().problem == "it was built for another engine"
    assert answer().bundle_id == bad.pk
    assert reader_of(holdings).bundle is good
    refused = [r for r in caplog.records if getattr(r, "action", "") == "bundle_refused"]
    assert len(refused) == 1


def test_a_bundle_that_loads_at_a_later_try_clears_its_problem(holdings, monkeypatch):
    """It is tried again after a while; the problem keeps its first time until then."""
    with monkeypatch.context() as patched:
        patched.setattr(following, "load_bundle", fail_with(BundleMissing("not yet")))
        bundle = another_bundle()
        holdings.follow()
        first = answer().acknowledged_at
        reader_of(holdings).load_again_at = 0.0
        holdings.follow()
        assert answer().acknowledged_at == first

    reader_of(holdings).load_again_at = 0.0
    assert holdings.follow()

    assert answer().problem == ""
    assert answer().acknowledged_at > first
    assert reader_of(holdings).bundle.id == bundle.pk  # type: ignore[union-attr]


def test_an_error_of_our_own_while_compiling_leaves_the_last_good_bundle(holdings, monkeypatch):
    """Whatever the compiler raises is a problem of the bundle; its words stay in the log."""
    good = reader_of(holdings).bundle
    monkeypatch.setattr(following, "load_bundle", fail_with(KeyError("secret words")))
    another_bundle()

    holdings.follow()

    assert "KeyError" in answer().problem
    assert "secret words" not in answer().problem
    assert reader_of(holdings).bundle is good


def test_an_answer_that_the_database_did_not_take_is_given_again(holdings, monkeypatch):
    """A lost connection between loading and answering costs a moment, not the answer."""
    bundle = another_bundle()
    with monkeypatch.context() as patched:
        patched.setattr(following, "_ANSWER", "SELECT 1/0 WHERE %(source)s IS NOT NULL")
        with pytest.raises(Exception, match="division by zero"):
            holdings.follow()
    connection.close()

    holdings.follow()

    assert answer().bundle_id == bundle.pk


def test_a_bad_database_while_loading_is_a_bad_world(holdings, monkeypatch):
    """It says nothing about the bundle: no problem is answered, the caller begins again."""
    another_bundle()
    monkeypatch.setattr(following, "load_bundle", fail_with(OperationalError("gone")))

    with pytest.raises(OperationalError):
        holdings.follow()

    assert not Acknowledgement.objects.filter(serial=demo().bundle_serial).exists()


def test_a_source_whose_broker_is_away_is_followed_too(ready: None) -> None:
    """Its bundle is taken and answered before the broker is back."""
    settings: dict[str, Any] = demo().settings | {"url": "redis://127.0.0.1:1/0"}
    Source.objects.filter(name="demo").update(settings=settings)
    held = Holdings(owner="worker", sources=["demo"])
    held.discover()
    held.follow()
    held.wake.wait(10)
    held.settle()
    assert reader_of(held).is_resting

    bundle = another_bundle()
    held.follow()

    assert (answer().bundle_id, answer().problem) == (bundle.pk, "")
