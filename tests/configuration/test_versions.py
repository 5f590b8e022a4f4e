"""Versions: imported once, refused with the place, one active per name, bundles that follow."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, connection, transaction

from configuration import bundling
from configuration.activation import activate, sources_of
from configuration.bundling import checksum, refresh_bundle
from configuration.models import Bundle, ConfigurationVersion, Source
from configuration.versions import import_document
from payflow.lib.errors import ConfigurationError
from payflow.lib.version import ENGINE_VERSION

pytestmark = pytest.mark.usefixtures("ready")

Versions = ConfigurationVersion.objects


def active(kind: str, name: str) -> ConfigurationVersion:
    return Versions.get(kind=kind, name=name, status="active")


def changed(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The shipped schema `transaction` with a change."""
    document: dict[str, Any] = copy.deepcopy(active("schema", "transaction").document)
    change(document)
    return document


def described(text: str) -> dict[str, Any]:
    return changed(lambda document: document.update(description=text))


def snapshot() -> list[Any]:
    """Everything that is true now."""
    return [
        list(Versions.order_by("id").values()),
        list(Bundle.objects.order_by("id").values()),
        list(Source.objects.order_by("id").values()),
    ]


# --- import ---------------------------------------------------------------------------------------


def test_the_same_document_is_imported_once():
    """However its keys are ordered: the version that has the content is given back."""
    shipped = active("schema", "transaction")
    before = snapshot()
    turned = dict(reversed(shipped.document.items()))

    again = import_document(kind="schema", name="transaction", document=turned)

    assert again.pk == shipped.pk
    assert snapshot() == before


def test_another_document_is_a_draft_with_the_next_number():
    """An import alone changes nothing that runs."""
    first = import_document(
        kind="schema", name="transaction", document=described("two"), note="why"
    )
    second = import_document(kind="schema", name="transaction", document=described("three"))

    assert (first.number, first.status, first.note) == (2, "draft", "why")
    assert (second.number, second.status) == (3, "draft")
    assert active("schema", "transaction").number == 1
    assert Source.objects.get(name="demo").active_bundle == Bundle.objects.get(source__name="demo")


def test_a_bad_schema_is_refused_with_every_place():
    """All problems at once, each with its JSON pointer; no version is made."""

    def spoil(document: dict[str, Any]) -> None:
        document["columns"]["amount"]["unit"] = "pennies"
        document["columns"]["colour"] = {"path": "colour"}
        document["json_schema"]["properties"]["status"]["oneOf"] = []

    before = snapshot()

    with pytest.raises(ConfigurationError) as caught:
        import_document(kind="schema", name="transaction", document=changed(spoil))

    pointers = {problem.pointer for problem in caught.value.problems}
    assert pointers == {
        "/columns/amount/unit",
        "/columns/colour",
        "/json_schema/properties/status/oneOf",
    }
    assert all(problem.message for problem in caught.value.problems)
    assert snapshot() == before


def test_a_bad_rule_set_is_refused_with_the_place():
    """A rule that reads a column that nobody has never becomes a version."""
    document = copy.deepcopy(active("metrics", "default").document)
    document["metrics"][0]["where"] = "amout > 1"
    before = snapshot()

    with pytest.raises(ConfigurationError) as caught:
        import_document(kind="metrics", name="default", document=document)

    assert [problem.pointer for problem in caught.value.problems] == ["/metrics/0/where"]
    assert "amout" in caught.value.problems[0].message
    assert snapshot() == before


# --- activate -------------------------------------------------------------------------------------


def test_activation_retires_the_old_version_and_gives_each_source_its_bundle():
    """One active version per name; sources of other schemas are left alone."""
    other = Source.objects.create(
        name="other", broker_type="redis_streams", schema_name="simulator"
    )
    refresh_bundle(other)
    unmoved, old = other.active_bundle_id, active("schema", "transaction")
    new = import_document(kind="schema", name="transaction", document=described("new"))

    sources = sources_of(activate(new))

    old.refresh_from_db()
    assert (old.status, new.status) == ("retired", "active")
    assert [source.name for source in sources] == ["demo"]
    demo = Source.objects.get(name="demo")
    assert demo.active_bundle is not None
    assert demo.active_bundle.schema["version"] == 2
    other.refresh_from_db()
    assert other.active_bundle_id == unmoved


def test_rollback_is_activating_the_old_version_and_its_bundle_comes_back():
    """Bundles are content: the same content is the same row, whenever it is active."""
    old = active("schema", "transaction")
    first = Source.objects.get(name="demo").active_bundle_id
    activate(import_document(kind="schema", name="transaction", document=described("new")))
    second = Source.objects.get(name="demo").active_bundle_id

    activate(old)
    activate(old)

    demo = Source.objects.get(name="demo")
    assert demo.active_bundle_id == first != second
    assert Bundle.objects.filter(source=demo).count() == 2
    assert Versions.filter(kind="schema", name="transaction", status="active").count() == 1


def test_a_version_whose_bundle_would_not_compile_changes_nothing():
    """The rules read an attribute of the schema: a schema without it cannot take its place."""
    loyal = changed(
        lambda document: document["attributes"].update(
            loyalty={"path": "metadata.loyalty", "type": "number"}
        )
    )
    activate(
        import_document(kind="schema", name="transaction", document=loyal),
        override_reason="an attribute more",
    )
    rules = copy.deepcopy(active("metrics", "default").document)
    rules["metrics"].append(
        {"name": "points", "description": "d", "type": "GAUGE", "value": "loyalty"}
    )
    activate(import_document(kind="metrics", name="default", document=rules))
    without = import_document(
        kind="schema",
        name="transaction",
        document=changed(lambda document: document["attributes"].pop("loyalty")),
    )
    before = snapshot()

    with pytest.raises(ConfigurationError, match="loyalty"):
        activate(without, override_reason="an attribute less")

    assert snapshot() == before


def test_the_database_holds_one_active_version_per_name():
    """Two activations at once: the second is refused whatever the code thought."""
    draft = import_document(kind="schema", name="transaction", document=described("new"))

    with (
        pytest.raises(IntegrityError, match="configuration_versions_one_active"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "UPDATE configuration_versions SET status = 'active' WHERE id = %s", [draft.pk]
        )


# --- bundles --------------------------------------------------------------------------------------


def test_a_bundle_is_its_content_and_is_built_once():
    """Name, documents and engine; its hash is that of the canonical text."""
    demo = Source.objects.get(name="demo")

    first, second = refresh_bundle(demo), refresh_bundle(demo)

    assert first.pk == second.pk == demo.active_bundle_id
    assert first.hash == checksum(first.content)
    assert first.content["source"] == "demo"
    assert first.content["engine_version"] == ENGINE_VERSION
    assert first.content["metrics"]["document"] == active("metrics", "default").document
    assert first.schema["document"] == active("schema", "transaction").document


def test_another_engine_is_another_bundle(monkeypatch):
    """After an upgrade that changes results, `configure refresh` gives each source a new one."""
    old = Source.objects.get(name="demo").active_bundle_id
    monkeypatch.setattr(bundling, "ENGINE_VERSION", ENGINE_VERSION + 1)
    monkeypatch.setattr("configuration.validators._bundle", [lambda _content: None])
    out = StringIO()

    call_command("configure", "refresh", stdout=out)

    demo = Source.objects.get(name="demo")
    assert demo.active_bundle is not None
    assert demo.active_bundle_id != old
    assert out.getvalue() == f"demo: bundle {demo.active_bundle.hash[:12]}\n"


@pytest.mark.parametrize(
    ("field", "pointer"), [("schema_name", "/schema_name"), ("metrics_name", "/metrics_name")]
)
def test_a_source_that_names_nothing_active_is_told_what_there_is(field, pointer):
    """The problem points to the field of the source and lists what is active."""
    source = Source.objects.get(name="demo")
    setattr(source, field, "nonsense")

    with pytest.raises(ConfigurationError) as caught:
        refresh_bundle(source)

    (problem,) = caught.value.problems
    assert problem.pointer == pointer
    assert "'nonsense'" in problem.message
    assert ("simulator, stripe, transaction" in problem.message) is (field == "schema_name")
    source.refresh_from_db()
    assert source.active_bundle_id is not None


# --- the command ----------------------------------------------------------------------------------


def configure(*arguments: str) -> str:
    out = StringIO()
    call_command("configure", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_imports_and_activates_and_says_for_whom(tmp_path: Path):
    """What a person reads: the version, its state, and the sources that use it now."""
    path = tmp_path / "schema.yaml"
    path.write_text(yaml.safe_dump(described("by hand")))

    draft = configure("import", str(path), "--note", "try")
    live = configure("import", str(path), "--activate")

    assert draft == "Transaction schema transaction v2: draft\n"
    assert live == "Transaction schema transaction v2: active, now used by demo\n"
    status = configure("status")
    assert "Transaction schema transaction v2: active\n" in status
    assert "Metric rule set default v1: active\n" in status
    assert f"Source demo: {refresh_bundle(Source.objects.get(name='demo')).hash[:12]}\n" in status


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [a", r"line [12]: bad\.yaml is no YAML or JSON: "),
        ("name: a\n\tb: c", "is no YAML or JSON"),
        ("", "holds no mapping"),
        ("- a", "holds no mapping"),
        ("columns: {}", "/name: a name is required"),
        ("name: 5\ncolumns: {}", "/name: a name is required"),
        ("name: a", "no transaction schema"),
        ("name: !!python/object/apply:os.getcwd []", "is no YAML or JSON"),
        ("name: a\ncolumns: {}", "/columns"),
        ("name: a\ncolumns: 5", "/columns"),
        ("name: a\nmetrics: 5", "/metrics"),
        ("name: a\nmetrics: []\nmetrics: []", r"line 3: .*'metrics' stands here twice"),
        ("name: a/b c\ncolumns: {}", "/name: a name is required"),
        (f"name: {'a' * 65}\ncolumns: {{}}", "/name: a name is required"),
        ('name: a\nnote: "\\0"\ncolumns: {}', "NUL character"),
        ('name: a\nnote: "\\ud800"\ncolumns: {}', "half a character"),
        ("name: a\ncolumns: &x {y: *x}", "aliases are not supported"),
        ("name: a\ncolumns: " + "[" * 3000, "is (nested too deeply|no YAML)"),
        ("name: a\ncolumns: " + "[" * 60 + "]" * 60, "more than 50 levels"),
        ("name: a\ncolumns: {at: !!timestamp 2026-01-01}", "a date"),
        ("name: a\ncolumns: {n: .inf}", "not finite"),
    ],
)
def test_a_bad_file_is_refused_with_a_sentence_and_changes_nothing(
    tmp_path: Path, text: str, message: str
):
    """Broken YAML, no mapping, neither kind: no traceback, no version."""
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    before = snapshot()

    with pytest.raises(CommandError) as caught:
        configure("import", str(path), "--activate")

    lines = str(caught.value)
    assert lines.startswith(f"{path} is refused:\n  ")
    assert re.search(message, lines, re.DOTALL)
    assert snapshot() == before


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    """The path as it was typed."""
    with pytest.raises(CommandError, match=r"gone\.yaml cannot be read: No such file"):
        configure("import", str(tmp_path / "gone.yaml"))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path):
    """A Parquet file by mistake, say."""
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"PAR1\xff\xfe\x00")

    with pytest.raises(CommandError, match="is no YAML or JSON"):
        configure("import", str(path))
