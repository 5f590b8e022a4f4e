"""load_defaults: what is shipped goes live once; later releases offer theirs as drafts."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from configuration.models import ConfigurationVersion
from ingestion.management.commands import load_defaults
from payflow.lib.version import VERSION

pytestmark = pytest.mark.usefixtures("ready")


def load() -> str:
    out = StringIO()
    call_command("load_defaults", stdout=out)
    return out.getvalue()


def test_a_second_run_changes_nothing():
    """It runs at each start of an installation."""
    before = list(ConfigurationVersion.objects.values())

    assert load() == ""
    assert list(ConfigurationVersion.objects.values()) == before


def test_a_release_with_another_schema_offers_it_as_a_draft(tmp_path: Path, monkeypatch):
    """What a person runs is never replaced by an upgrade; what is new is not kept from them."""
    shipped = load_defaults.SHIPPED[0] / "transaction.yaml"
    text = "# of the next release\n" + shipped.read_text().replace("A processed", "A finished")
    (tmp_path / shipped.name).write_text(text)
    monkeypatch.setattr(load_defaults, "SHIPPED", (tmp_path,))

    said = load(), load()

    assert said == (
        "Transaction schema transaction v2: a draft: compare it with what is active\n",
        "",
    )
    draft = ConfigurationVersion.objects.get(kind="schema", name="transaction", number=2)
    assert (draft.status, draft.note) == ("draft", f"shipped with payflow {VERSION}")
    assert draft.text == text
    assert ConfigurationVersion.objects.get(name="transaction", status="active").number == 1
