"""Route tables: what is wrong in one is said with the place, before a worker ever sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from configuration.models import AuditEntry, Source
from configuration.route_page import EXAMPLE
from configuration.routes import MAX_ROUTES, read_route_table
from payflow.lib.errors import ConfigurationError
from payflow.lib.pages.display import row_url

_BY = {"field": "type"}


def table(*routes: Any, **more: Any) -> dict[str, Any]:
    """A table by the field `type`: each route as (values, schema)."""
    rows = [{"in": list(values), "schema": schema} for values, schema in routes]
    return {"by": _BY, "routes": rows, **more}


def test_a_table_is_read_as_it_is_written():
    """Field or header, values in their order, and what becomes of the others."""
    read = read_route_table(
        table((["a", "b.*"], "one"), (["*"], "two"), by={"field": "data.type"}, otherwise="ignored")
    )
    by_header = read_route_table(table((["a"], "one"), by={"header": "event-type"}))

    assert (read.field, read.header, read.label) == (("data", "type"), "", "data.type")
    assert [(row.values, row.schema) for row in read.rows] == [
        (("a", "b.*"), "one"),
        (("*",), "two"),
    ]
    assert read.ignores_others
    assert (by_header.field, by_header.header) == ((), "event-type")
    assert not by_header.ignores_others


def test_the_example_of_the_guide_is_a_table():
    """It can be copied."""
    guide = Path(__file__).parents[2] / "docs/guides/several-schemas.md"
    text = guide.read_text(encoding="utf-8").split("```yaml\n", 1)[1].split("```", 1)[0]

    assert len(read_route_table(yaml.safe_load(text)).rows) == 2
    assert read_route_table(yaml.safe_load(EXAMPLE)).field == ("type",)


@pytest.mark.parametrize(
    ("wrong", "pointer", "said"),
    [
        ([], "", "must be an object"),
        ({}, "/by", "must be an object"),
        (table((["a"], "x"), by={}), "/by", "must be"),
        (table((["a"], "x"), by={"field": "a", "header": "b"}), "/by", "must be"),
        (table((["a"], "x"), by={"path": "a"}), "/by/path", "known are field, header"),
        (table((["a"], "x"), by={"field": "a..b"}), "/by/field", "dots between"),
        (table((["a"], "x"), by={"field": 7}), "/by/field", "must be a text"),
        (table((["a"], "x"), by={"header": ""}), "/by/header", "must be a text"),
        (table(), "/routes", "1 to"),
        (table(*[([f"v{n}"], "x") for n in range(MAX_ROUTES + 1)]), "/routes", "1 to"),
        ({"by": _BY, "routes": ["a"]}, "/routes/0", "must be an object"),
        (table(([], "x")), "/routes/0/in", "must be a list"),
        ({"by": _BY, "routes": [{"in": "a", "schema": "x"}]}, "/routes/0/in", "must be a list"),
        (table(([1], "x")), "/routes/0/in/0", "put numbers in quotes"),
        (table((["a*b"], "x")), "/routes/0/in/0", "at its end only"),
        (table((["a"], "")), "/routes/0/schema", "name of a transaction schema"),
        (table((["a"], "x"), (["b", "a"], "y")), "/routes/1/in/1", "routes/0/in/0 takes it"),
        (table((["pay.*"], "x"), (["pay.in"], "y")), "/routes/1/in/0", "routes/0/in/0 takes it"),
        (table((["*"], "x"), (["pay.*"], "y")), "/routes/1/in/0", "never reached"),
        (table((["a"], "x"), otherwise="dropped"), "/otherwise", "failed or ignored"),
        (table((["a"], "x"), else_="x"), "/else_", "is not known"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(wrong, pointer, said):
    """A JSON pointer into the table, and a sentence."""
    with pytest.raises(ConfigurationError) as refused:
        read_route_table(wrong)

    assert any(
        problem.pointer == f"/route_table{pointer}" and said in problem.message
        for problem in refused.value.problems
    ), refused.value.problems


def test_a_prefix_behind_what_it_takes_is_no_mistake():
    """The special case first, the rest after it: what a table is for."""
    assert read_route_table(table((["pay.in"], "x"), (["pay.*"], "y"), (["*"], "z"))).rows


_ADD = ("configuration.view_source", "configuration.change_source", "configuration.add_source")


def _form(route_table: Any) -> dict[str, str]:
    return {
        "name": "routed",
        "broker_type": "redis_streams",
        "settings": json.dumps({"url": "env:STREAMS_URL", "stream": "cards", "partitions": 2}),
        "schema_name": "transaction",
        "route_table": json.dumps(route_table),
        "metrics_name": "default",
        "compliance_name": "default",
    }


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (table((["a"], "transaction"), (["a"], "stripe")), "/routes/1/in/0: "),
        (table((["a"], "transactoin")), "/routes/0/schema: "),
        ("no object", "holds no mapping"),
    ],
)
def test_the_form_of_a_source_names_the_place_in_its_table(ready, staff, wrong, said):
    """Also a schema that is not there; nothing is stored."""
    page = staff(*_ADD).post("/configuration/source/add/", _form(wrong)).content.decode()

    assert said in page
    assert not Source.objects.filter(name="routed").exists()


def test_a_source_with_routes_shows_them_and_their_schemas(ready, staff):
    """Which values go where, what becomes of the others, and the versions behind it."""
    routes = table((["charge.*"], "stripe"), (["payment"], "transaction"), otherwise="ignored")

    staff(*_ADD).post("/configuration/source/add/", _form(routes))

    source = Source.objects.get(name="routed")
    assert source.active_bundle is not None
    assert [schema["name"] for schema in source.active_bundle.schemas] == ["stripe", "transaction"]
    page = staff(*_ADD).get(row_url("configuration.source", source.pk)).content.decode()
    assert "charge.*" in page
    assert "transaction v1</a>" in page
    assert "ignored" in page


# --- the page of an existing source ---------------------------------------------------------------

_CHANGE = ("configuration.view_source", "configuration.change_source")
_TEXT = """\
by: {field: type}
routes:
  - in: ["charge.*"]
    schema: stripe
  - {in: [payment], schema: transaction}
"""


def _url(source: Source) -> str:
    return f"/configuration/source/{source.pk}/routes/"


def test_routes_of_a_live_source_are_changed_on_its_page(ready, staff):
    """Live with the next poll of its workers, written to the audit trail, and back with no text."""
    source = Source.objects.get(name="demo")
    before = source.active_bundle_id, source.bundle_serial
    client = staff(*_CHANGE)

    page = client.post(_url(source), {"routes": _TEXT}, follow=True).content.decode()

    source.refresh_from_db()
    assert "The routes of demo are live" in page
    assert [row["schema"] for row in source.route_table["routes"]] == ["stripe", "transaction"]
    assert source.bundle_serial == before[1] + 1
    entry = AuditEntry.objects.get(target="demo")
    assert entry.details["before"]["route_table"] == {}
    assert "charge.*" in client.get(_url(source)).content.decode()

    client.post(_url(source), {"routes": " "})

    source.refresh_from_db()
    assert (source.route_table, source.active_bundle_id) == ({}, before[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            _TEXT.replace("[payment]", "[charge.x]"),
            "line 5, /routes/1/in/0: is never reached: /routes/0/in/0",
        ),
        (_TEXT.replace("stripe", "strype"), "line 4, /routes/0/schema: no active transaction"),
        ("by: [", "is no YAML"),
        ("- a", "holds no mapping"),
        ("x" * 200_000, "is longer than 131,072 characters"),
        ("<script>alert(1)</script>: 1", "&lt;script&gt;"),
    ],
)
def test_a_wrong_table_changes_nothing_and_is_shown_with_its_lines(ready, staff, text, said):
    """What was typed stays, so that it can be mended."""
    source = Source.objects.get(name="demo")

    page = staff(*_CHANGE).post(_url(source), {"routes": text}).content.decode()

    assert said in page
    assert "Nothing was changed" in page
    assert "<script>alert" not in page
    source.refresh_from_db()
    assert source.route_table == {}


def test_who_may_only_view_changes_no_routes(ready, staff):
    """Neither the button nor the address works."""
    source = Source.objects.get(name="demo")
    client = staff("configuration.view_source")

    page = client.get(row_url("configuration.source", source.pk)).content.decode()

    assert "/routes/" not in page
    assert client.get(_url(source)).status_code == 403
    assert client.post(_url(source), {"routes": _TEXT}).status_code == 403
