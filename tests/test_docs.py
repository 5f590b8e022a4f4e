"""Pages that list what the code has say all of it, and their examples work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands

from ingestion.parsing import Reason, compile_schema
from ingestion.parsing.document import COLUMNS
from ingestion.parsing.formats import FORMATS
from ingestion.parsing.json_schema import _READERS, ANNOTATIONS
from metrics.expressions.functions import FUNCTIONS
from metrics.extractors import EXTRACTORS
from metrics.rules import compile_metrics
from payflow.lib.telemetry import METRICS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
APPS = ("payflow", "configuration", "deadletter", "metrics", "ingestion", "simulator")

_READ = re.compile(r'\bread_(?:str|int|bool|list|secret)\(\s*"([A-Z_]+)"')
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def first_cells(text: str) -> list[str]:
    """What stands in backticks in the first column of the tables."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def example(text: str) -> dict[str, object]:
    """The first YAML block."""
    document: dict[str, object] = yaml.safe_load(text.split("```yaml\n", 1)[1].split("```", 1)[0])
    return document


def test_every_variable_is_explained():
    """A variable that the code reads has a row in docs/configuration.md."""
    sources = [path for app in APPS for path in (ROOT / app).rglob("*.py")]
    read = {name for path in sources for name in _READ.findall(path.read_text(encoding="utf-8"))}
    in_settings = set(_READ.findall((ROOT / "payflow/settings.py").read_text(encoding="utf-8")))

    assert len(in_settings) > 15
    assert read - set(first_cells(page("configuration.md"))) == set()


def test_every_explained_variable_is_read():
    """docs/configuration.md explains no variable that is gone."""
    names = {name for name in first_cells(page("configuration.md")) if name.isupper()}
    files = [*(p for app in APPS for p in (ROOT / app).rglob("*.py")), ROOT / "Makefile"]
    files += [ROOT / "Procfile", ROOT / "manage.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)

    assert names
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", text)] == []


def test_every_check_is_explained():
    """A system check's id has a row in docs/configuration.md."""
    files = (ROOT / "payflow" / "checks.py", ROOT / "configuration" / "remote" / "checks.py")
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    ids = set(re.findall(r'id="(payflow\.[EW][0-9]+)"', code))

    assert ids
    assert ids == {n for n in first_cells(page("configuration.md")) if n.startswith("payflow.")}


def test_every_metric_is_explained():
    """docs/operations.md lists each metric of /metrics with its kind, labels and help."""
    table = page("operations.md").partition("<!-- metrics:")[2].partition("\nA dashboard")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]

    assert rows == [
        f"| `{metric.name}` | {metric.kind} | {', '.join(metric.labels)} | {metric.help} |"
        for metric in METRICS
    ]


def test_every_reason_is_explained():
    """docs/schemas.md explains each reason of failure, in the order of the code."""
    table = page("schemas.md").partition("<!-- reasons:")[2]

    assert first_cells(table) == [reason.value for reason in Reason]


def test_the_schema_page_names_what_is_supported():
    """Columns, keywords, annotations and formats in docs/schemas.md are those of the code."""
    text = page("schemas.md")
    section = text.partition("## JSON Schema")[2].partition("Patterns have")[0]
    named = set(re.findall(r"`([$A-Za-z0-9-]+)`", section))

    assert named == {*_READERS, *ANNOTATIONS, "$schema", *FORMATS}
    assert set(COLUMNS) <= set(first_cells(text))


def test_the_rules_page_names_what_is_allowed():
    """Functions, extractors and shipped rules in docs/rules.md are those of the code."""
    text = page("rules.md")
    functions = re.search(r"Functions: `([A-Z_ \n]+)`", text)
    shipped = yaml.safe_load((ROOT / "metrics/rule_sets/default.yaml").read_text(encoding="utf-8"))
    cells = first_cells(text)

    assert functions
    assert set(functions[1].split()) == set(FUNCTIONS)
    assert set(EXTRACTORS) <= set(cells)
    assert {rule["name"] for rule in shipped["metrics"]} <= set(cells)


def test_the_examples_compile():
    """The schema in docs/schemas.md and the rules in docs/rules.md are accepted."""
    schema, rules = example(page("schemas.md")), example(page("rules.md"))

    compiled = compile_schema(schema, name="acme")
    assert list(compiled.attributes) == ["risk"]
    assert len(compile_metrics(rules, attributes=compiled.attributes).rules) == 2


def test_every_dependency_is_justified():
    """Each line of requirements/base.in has a row in ADR 0006."""
    text = page("adr/0006-embedded-servers-and-dependencies.md")
    rows = {line.split("|")[1].split()[0].lower() for line in text.splitlines() if "| " in line}
    lines = (ROOT / "requirements" / "base.in").read_text(encoding="utf-8").splitlines()
    wanted = [re.split(r"[=<>]", line)[0] for line in lines if line and line[0] != "#"]

    assert wanted
    assert [name for name in wanted if name not in rows] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_commands_exist(path):
    """A page links to files that are there and names commands of manage.py that exist."""
    text = path.read_text(encoding="utf-8")
    links = [link for link in _LINK.findall(text) if "://" not in link]
    commands = set(re.findall(r"manage\.py\s+([a-z][a-z_]*)", text))

    assert [link for link in links if not (path.parent / link).exists()] == []
    assert commands <= set(get_commands())
