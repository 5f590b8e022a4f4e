"""The command line: everything that pages do to versions, with sentences for answers."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
import yaml
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError

from configuration.activation import set_gate
from configuration.documents import read_file
from configuration.models import Activation, ConfigurationVersion
from configuration.version_names import find_version
from configuration.versions import create_draft
from payflow.lib.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("ready")

ROOT = Path(__file__).parents[2]
SHIPPED = [
    *sorted((ROOT / "ingestion/schemas").glob("*.yaml")),
    *sorted((ROOT / "metrics/rule_sets").glob("*.yaml")),
    *sorted((ROOT / "docs/examples").glob("*.yaml")),
]
SCHEMA = (ROOT / "ingestion/schemas/transaction.yaml").read_text()
#: 'status' takes one more word: backward compatible
WIDER = SCHEMA.replace("timeout, error]", "timeout, error, unknown]")
#: the currency has to be upper case: events that passed fail
NARROWER = SCHEMA.replace(
    "currency: {type: string,", "currency: {type: string, pattern: '^[A-Z]+$',"
)


def configure(*arguments: object) -> str:
    out = StringIO()
    call_command("configure", *map(str, arguments), stdout=out, stderr=out)
    return out.getvalue()


@pytest.fixture
def write(tmp_path: Path):
    """Text -> a file that holds it."""

    def written(text: str, name: str = "given.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


# --- round trip -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_export_and_import_lose_nothing(tmp_path: Path, form: str):
    """Every shipped document comes back as the same version; YAML with all of its comments."""
    for path in SHIPPED:
        configure("import", path)
        given = read_file(path)
        kept = ConfigurationVersion.objects.filter(kind=given.kind, name=given.name)[0]

        configure(
            *("export", given.kind, given.name, "--version", kept.number),
            *("--output", tmp_path, "--format", form),
        )

        exported = tmp_path / f"{given.name}.{given.kind}.{form}"
        assert read_file(exported).document == given.document
        assert (exported.read_text() == given.text) is (form == "yaml")
        before = ConfigurationVersion.objects.count()
        assert str(kept) in configure("import", exported)
        assert ConfigurationVersion.objects.count() == before


def test_numbers_survive_the_database(write, tmp_path: Path):
    """PostgreSQL keeps numbers by value: what is written otherwise is the same document."""
    text = SCHEMA.replace("exclusiveMinimum: 0,", "maximum: 1.0e+22, exclusiveMinimum: 1.0e-7,")
    configure("import", write(text))
    version = find_version("transaction@2")

    configure("export", "schema", "transaction", "--version", "2", "--output", tmp_path / "x.json")
    (tmp_path / "stored.json").write_text(json.dumps(version.document))

    assert "transaction v2" in configure("import", tmp_path / "x.json")
    assert "transaction v2" in configure("import", tmp_path / "stored.json")


def test_export_without_a_file_is_for_a_pipe():
    """The text alone, as its author wrote it."""
    assert configure("export", "schema", "transaction") == SCHEMA


# --- validate -------------------------------------------------------------------------------------


def test_validate_says_where_and_how_compatible(write):
    """Every problem with line and pointer; of what is valid, what the gate would say."""
    wrong = write(SCHEMA.replace("unit: major", "unit: pounds"), "wrong.yaml")
    wider = write(WIDER, "wider.yaml")
    out = StringIO()

    with pytest.raises(CommandError, match=r"^1 of 2 files are refused$"):
        call_command("configure", "validate", wrong, wider, stdout=out, stderr=out)

    said = out.getvalue()
    assert f"{wrong} is refused:\n  line 10, /columns/amount/unit: must be one of" in said
    assert f"{wider}: valid transaction schema transaction\n" in said
    assert "against transaction v1, gate: backward\n  backward compatible: yes" in said
    assert 'forward compatible: no\n    status: the value "unknown" would pass now' in said
    assert ConfigurationVersion.objects.filter(name="transaction").count() == 1


# --- diff -----------------------------------------------------------------------------------------


def test_diff_of_a_version_and_a_file(write):
    """What would change, and for whom."""
    said = configure("diff", "transaction", write(WIDER))

    assert said.startswith("Event fields\n  status: enum\n    + unknown\n")
    assert "backward compatible: yes\nforward compatible: no\n" in said


def test_diff_of_equals_and_of_strangers(write):
    """No difference is said; a schema and a rule set are not compared."""
    assert configure("diff", "transaction@1", write(SCHEMA)).startswith("no difference")
    with pytest.raises(CommandError, match="nothing in common"):
        configure("diff", "transaction", "metrics/default")


def test_a_reference_that_means_nothing_says_what_there_is():
    """The next thing to type is in the answer."""
    answers = [
        ("nothing", "nothing is named 'nothing'"),
        ("default", "write compliance/default or metrics/default"),
        ("transaction@9", "there are versions 1"),
        ("schema/acme", "there are simulator, stripe, transaction"),
        ("a b", "names no version: write NAME"),
        ("rules/default", "names no version"),
        ("transaction@0", "names no version"),
    ]

    for reference, message in answers:
        with pytest.raises(ConfigurationError, match=message):
            find_version(reference)


# --- going live and back --------------------------------------------------------------------------


def test_a_change_goes_live_and_back_by_name(write):
    """Import, activate, roll back: each says what is live for whom, and is in the trail."""
    User.objects.create_user("okafor")
    configure("import", write(WIDER), "--note", "one word more", "--by", "okafor")

    live = configure("activate", "transaction@2", "--reason", "needed", "--by", "okafor")
    back = configure("rollback", "transaction", "--reason", "a mistake")

    assert live == "Transaction schema transaction v2: active, now used by demo\n"
    assert back == "Transaction schema transaction v1: active, now used by demo\n"
    first, second = Activation.objects.all()[:2]
    assert (first.is_rollback, first.reason, first.activated_by) == (True, "a mistake", None)
    assert (second.reason, str(second.activated_by)) == ("needed", "okafor")


def test_roll_back_to_a_certain_version(write):
    """Not the one before, but one that is named."""
    configure("import", write(WIDER), "--activate")
    configure("import", write(WIDER.replace("unknown", "lost")), "--activate", "--override", "test")

    assert "transaction v1: active" in configure("rollback", "schema/transaction@1")


def test_the_gate_stops_what_breaks_and_says_how_to_pass(write):
    """The fields and values that would fail; nothing is live."""
    path = write(NARROWER)

    with pytest.raises(CommandError) as caught:
        configure("import", path, "--activate")

    said = str(caught.value)
    assert said.startswith(
        "transaction v2 is not live:\n  /json_schema/properties/currency/pattern"
    )
    assert "passed before and would fail now" in said
    assert said.endswith('--override "REASON" makes it live all the same')
    assert find_version("transaction").number == 1
    assert "v2: active" in configure("activate", "transaction@2", "--override", "agreed with them")
    assert Activation.objects.all()[0].override_reason == "agreed with them"


def test_a_gate_that_is_open_lets_all_pass(write):
    """The gate is set per schema."""
    set_gate("transaction", "none", by=None)

    assert "v2: active" in configure("import", write(NARROWER), "--activate")


def test_one_unreadable_file_among_several_keeps_all_out(write):
    """A typing error in the second file is found before the first is a version."""
    with pytest.raises(CommandError, match=r"line 1, /name: a name is required"):
        configure("import", write(WIDER, "a.yaml"), write("name: 5\ncolumns: {}", "b.yaml"))

    assert ConfigurationVersion.objects.filter(name="transaction").count() == 1


def test_rules_may_build_on_the_schema_before_them(write):
    """Both go live in one call, in the order in which they are given."""
    schema = yaml.safe_load(SCHEMA)
    schema["attributes"]["loyalty"] = {"path": "metadata.loyalty", "type": "integer"}
    rules = yaml.safe_load((ROOT / "metrics/rule_sets/default.yaml").read_text())
    rules["metrics"] = [{"name": "points", "description": "d", "type": "GAUGE", "value": "loyalty"}]

    said = configure(
        *(
            "import",
            write(yaml.safe_dump(schema), "s.yaml"),
            write(yaml.safe_dump(rules), "r.yaml"),
        ),
        *("--activate", "--override", "a new attribute"),
    )

    assert said.count(": active") == 2


def test_what_cannot_be_done_is_said_in_a_sentence():
    """No traceback, and nothing changes."""
    before = Activation.objects.count()
    answers = [
        (("rollback", "transaction"), "there is nothing to roll back to"),
        (("activate", "transaction@7"), "nothing was activated:\n"),
        (("activate", "transaction", "--by", "nobody"), "there is no user 'nobody'"),
        (("export", "schema", "acme"), "nothing to export:\n"),
        (("export", "schema", "transaction", "--output", "/proc/x"), "cannot be written"),
        (("export", "tables", "transaction"), "invalid choice: 'tables'"),
        ((), "arguments are required: ACTION"),
    ]

    for arguments, message in answers:
        with pytest.raises(CommandError, match=message):
            configure(*arguments)

    assert Activation.objects.count() == before


def test_status_counts_what_is_wrong_with_drafts():
    """Who looks at the list sees which drafts cannot go live, and where they came from."""
    create_draft(kind="schema", name="transaction", text="name: transaction", origin="directory")

    said = configure("status")

    assert "Transaction schema transaction v1: active\n" in said
    assert "Transaction schema transaction v2: draft, 1 problem, from directory\n" in said
    assert "Source demo: " in said


def test_help_has_examples(capsys):
    """What a VERSION is, and the order in which people use it."""
    with pytest.raises(SystemExit):
        call_command("configure", "--help")

    said = capsys.readouterr().out
    assert "KIND/NAME@3" in said
    assert "configure rollback acme --reason" in said
