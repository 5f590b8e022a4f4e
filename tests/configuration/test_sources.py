"""Sources by files: made once, routed anew while they are read, refused with the place."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError

from configuration.models import AuditEntry, Source

pytestmark = pytest.mark.usefixtures("ready")

_FILE = "name: s\nbroker_type: file\nschema_name: transaction\n"


@pytest.fixture
def run(tmp_path: Path):
    """The output of `sources apply` for a text."""

    def apply(text: str, *options: str) -> str:
        path, out = tmp_path / "source.yaml", StringIO()
        path.write_text(text)
        call_command("sources", "apply", str(path), *options, stdout=out)
        return out.getvalue()

    return apply


def test_a_source_is_made_and_then_routed_by_the_same_file(run):
    """The second time only its routing changes, under a new serial; the third time nothing does."""
    User.objects.create_user("ann")

    said = [
        run(_FILE),
        run(_FILE.replace("transaction", "simulator"), "--by", "ann"),
        run(_FILE.replace("transaction", "simulator")),
    ]

    source = Source.objects.get(name="s")
    assert said == [
        "s: made, transaction v1\n",
        "s: routed, simulator v1\n",
        "s: routed, simulator v1\n",
    ]
    assert source.bundle_serial == 2
    entry = AuditEntry.objects.get(action="routed source")
    assert str(entry.actor) == "ann"
    assert (entry.details["before"]["schema_name"], entry.details["after"]["schema_name"]) == (
        "transaction",
        "simulator",
    )


def test_sources_are_listed_with_what_they_run(run):
    """One line each."""
    run(_FILE)
    out = StringIO()

    call_command("sources", "list", stdout=out)

    assert out.getvalue() == "demo: redis_streams, transaction v1\ns: file, transaction v1\n"


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ("name: a b\nbroker_type: file\nschema_name: transaction", "/name"),
        ("name: s\nschema_name: transaction", "/broker_type"),
        ("name: s\nbroker_type: file", "/schema_name"),
        ("name: s\nbroker_type: file\nschema_name: nonsense", "/schema_name"),
        ("name: s\nbroker_type: file\nschema_name: transaction\ncolour: red", "/colour"),
        ("name: s\nbroker_type: file\nschema_name: transaction\nsettings: {path: x}", "/settings"),
        ("name: s\nbroker_type: carrier_pigeon\nschema_name: transaction", "/broker_type"),
        ("name: s\nbroker_type: file\nroute_table: {by: {}, routes: []}", "/route_table/by"),
        ("name: s\nbroker_type: file\nroute_table: x", "/route_table"),
        ("name: demo\nbroker_type: file\nschema_name: transaction", "/broker_type"),
    ],
)
def test_a_wrong_source_is_refused_with_its_place_and_changes_nothing(run, text, pointer):
    """Whatever is wrong: keys, types, names that nobody has, another connection."""
    before = list(Source.objects.values())

    with pytest.raises(CommandError) as caught:
        run(text)

    assert f"  {pointer}: " in str(caught.value)
    assert list(Source.objects.values()) == before
