"""Reading the active configuration: one moment, own copies, last good."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.utils import timezone

from configuration.manager import ConfigurationManager
from configuration.models import ConfigurationVersion
from payflow.lib.errors import ConfigurationError, StorageError

pytestmark = pytest.mark.django_db


def make_active(kind: str, name: str, **document: Any) -> ConfigurationVersion:
    """Make a document the active one, whatever was before; rows are the interface here."""
    versions = ConfigurationVersion.objects.filter(kind=kind, name=name)
    versions.filter(status="active").update(status="retired")
    return ConfigurationVersion.objects.create(
        kind=kind,
        name=name,
        number=versions.count() + 1,
        status="active",
        document=document,
        activated_at=timezone.now(),
    )


@pytest.fixture
def three() -> None:
    make_active("schema", "transaction", fields=["a"])
    make_active("metrics", "default", rules=[1])
    make_active("compliance", "default", rules=[2])


def gone(*_: Any) -> Any:
    """What every query meets when the server is away."""
    raise OperationalError("gone")


def test_each_call_gives_its_document(three: None) -> None:
    """By name; the default ones without."""
    manager = ConfigurationManager()

    assert manager.get_transaction_schema() == {"fields": ["a"]}
    assert manager.get_metrics_definitions() == {"rules": [1]}
    assert manager.get_compliance_rules("default") == {"rules": [2]}
    assert manager.load_all_configuration().keys() == {
        "schemas:transaction:v1",
        "metrics:definitions:v1",
        "compliance:rules:v1",
    }


def test_an_unknown_name_is_answered_with_the_known_ones(three: None) -> None:
    """A typing error is found at once."""
    with pytest.raises(ConfigurationError, match="'transactions'; active are: transaction"):
        ConfigurationManager().get_transaction_schema("transactions")


def test_what_a_caller_changes_is_its_own(three: None) -> None:
    """Nobody can bend the configuration of the others."""
    manager = ConfigurationManager()
    manager.get_transaction_schema()["fields"].append("b")

    assert manager.get_transaction_schema() == {"fields": ["a"]}


def test_a_change_is_seen_when_what_is_kept_is_old(three: None) -> None:
    """Within the age that was asked for, or at once after a reload."""
    kept, fresh = ConfigurationManager(max_age_s=60), ConfigurationManager(max_age_s=0)
    assert kept.get_transaction_schema() == fresh.get_transaction_schema()

    make_active("schema", "transaction", fields=["z"])

    assert fresh.get_transaction_schema() == {"fields": ["z"]}
    assert kept.get_transaction_schema() == {"fields": ["a"]}
    assert kept.reload_configuration()
    assert kept.get_transaction_schema() == {"fields": ["z"]}


@pytest.mark.django_db(transaction=True)
def test_without_a_database_the_last_good_one_is_given(three: None, caplog) -> None:
    """With a warning; who never read anything gets an error that may be tried again."""
    manager = ConfigurationManager(max_age_s=0)
    manager.load_all_configuration()

    with connection.execute_wrapper(gone):
        assert manager.get_transaction_schema() == {"fields": ["a"]}
        assert not manager.reload_configuration()
        with pytest.raises(StorageError):
            ConfigurationManager().get_transaction_schema()

    assert "the last good one stays" in caplog.text
    assert manager.reload_configuration()


@pytest.mark.django_db(transaction=True)
def test_threads_see_whole_moments() -> None:
    """While versions change two at a time, no thread ever sees one without the other."""
    make_active("metrics", "default", step=0)
    make_active("compliance", "default", step=0)
    manager = ConfigurationManager(max_age_s=0)
    ready, stop = threading.Barrier(5, timeout=30), threading.Event()

    def look() -> tuple[int, int]:
        found = manager.load_all_configuration()
        return found["metrics:definitions:v1"]["step"], found["compliance:rules:v1"]["step"]

    def read() -> set[tuple[int, int]]:
        """What was seen before the first change, between any two, and after the last one."""
        try:
            seen = {look()}
            ready.wait()
            while not stop.wait(0.002):
                seen.add(look())
            return seen | {look()}
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        try:
            ready.wait()
            for step in range(1, 15):
                with transaction.atomic():
                    make_active("metrics", "default", step=step)
                    make_active("compliance", "default", step=step)
        finally:
            stop.set()
        seen = set().union(*(reader.result() for reader in readers))

    assert all(metrics == compliance for metrics, compliance in seen)
    assert {(0, 0), (14, 14)} <= seen
