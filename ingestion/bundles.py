"""Bundles, compiled: everything that evaluate() needs of one source, built once per process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import polars as pl

from configuration.models import Bundle, ConfigurationVersion
from ingestion.parsing import CompiledSchema, compile_schema
from ingestion.parsing.paths import Header, parse_path, plain_names
from ingestion.routing import NOWHERE, Router, compile_router
from ingestion.scrub import ScrubRules
from metrics.columns import COMMON_ATTRIBUTES
from metrics.compliance import CompiledCompliance, compile_compliance
from metrics.rules import CompiledMetrics, compile_metrics
from payflow.lib.errors import BundleMissing, ConfigurationError, Problem
from payflow.lib.version import ENGINE_VERSION

_IDS: Final = ("transaction_id", "correlation_id", "merchant_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledRoute:
    """One schema of a bundle, and the rules compiled for what it maps."""

    schema: CompiledSchema
    #: name and number, e.g. "transaction v3": payloads compare only within one
    schema_version: str
    metrics: CompiledMetrics
    compliance: CompiledCompliance


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledBundle:
    """A bundle ready to evaluate with."""

    #: primary key of its row, 0 when it has none (tests, drafts)
    id: int
    hash: str
    content: Mapping[str, Any]
    #: at least one
    routes: tuple[CompiledRoute, ...]
    #: None: every message goes to the only route
    router: Router | None
    #: over the attributes of all routes: what adds up the values of any of them
    metrics: CompiledMetrics
    compliance: CompiledCompliance
    scrub: ScrubRules

    @property
    def schema(self) -> CompiledSchema:
        """The first schema, for what shows one of each source."""
        return self.routes[0].schema

    @property
    def schema_version(self) -> str:
        """Name and number of the first schema."""
        return self.routes[0].schema_version

    def name_of(self, route: int) -> str:
        """The schema behind a route; "" for what no route takes."""
        return "" if route == NOWHERE else self.routes[route].schema.name

    def version_of(self, route: int) -> str:
        """Its name and number; "" for what no route takes."""
        return "" if route == NOWHERE else self.routes[route].schema_version


def compile_bundle(
    content: Mapping[str, Any], *, bundle_id: int = 0, digest: str = ""
) -> CompiledBundle:
    """Compile a bundle's content. Raises ConfigurationError; pure."""
    router = compile_router(content)
    parts = [route["schema"] for route in content["routes"]]
    schemas = [compile_schema(part["document"], name=part["name"]) for part in parts]
    rules = _Rules(
        metrics=content["metrics"]["document"],
        # engine 1 had no compliance rules
        compliance=content.get("compliance", {}).get("document", {}),
    )
    everywhere = _attributes_of_all(schemas)
    metrics, compliance = rules.compiled(everywhere, elsewhere={})
    routes = []
    for part, schema in zip(parts, schemas, strict=True):
        own = (metrics, compliance)
        if len(schemas) > 1:
            own = rules.compiled(schema.attributes, elsewhere=everywhere)
        routes.append(
            CompiledRoute(
                schema=schema,
                schema_version=f"{part['name']} v{part['version']}",
                metrics=own[0],
                compliance=own[1],
            )
        )
    return CompiledBundle(
        id=bundle_id,
        hash=digest,
        content=content,
        routes=tuple(routes),
        router=router,
        metrics=metrics,
        compliance=compliance,
        scrub=_scrub_rules(parts, schemas),
    )


def _scrub_rules(
    parts: Sequence[Mapping[str, Any]], schemas: Sequence[CompiledSchema]
) -> ScrubRules:
    """What must not be masked for any of the schemas: scrub runs before the routes are known."""
    spared: set[str] = set()
    spared_headers: set[str] = set()
    for part, schema in zip(parts, schemas, strict=True):
        for path in map(parse_path, spared_paths(part["document"], schema.identity.fields)):
            if isinstance(path[0], Header):
                spared_headers.add(path[0].name)
            else:
                # arrays do not count for scrub
                spared.add(".".join(plain_names(path)))
    wrappings = {schema.wrapping for schema in schemas if schema.wrapping is not None}
    return ScrubRules(
        spared=tuple(sorted(spared)),
        spared_headers=tuple(sorted(spared_headers)),
        wrappings=tuple(sorted(wrappings, key=repr)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """The rule sets of a bundle, as documents."""

    metrics: Mapping[str, Any]
    compliance: Mapping[str, Any]

    def compiled(
        self, attributes: Mapping[str, pl.DataType], *, elsewhere: Mapping[str, pl.DataType]
    ) -> tuple[CompiledMetrics, CompiledCompliance]:
        return (
            compile_metrics(self.metrics, attributes=attributes, elsewhere=elsewhere),
            compile_compliance(self.compliance, attributes=attributes, elsewhere=elsewhere),
        )


def _attributes_of_all(schemas: Sequence[CompiledSchema]) -> dict[str, pl.DataType]:
    """The attributes of all schemas; a rule over one must mean the same behind every route."""
    attributes: dict[str, pl.DataType] = {}
    owners: dict[str, str] = {}
    problems = []
    for number, schema in enumerate(schemas):
        for name, dtype in schema.attributes.items():
            if attributes.setdefault(name, dtype) != dtype:
                problems.append(
                    Problem(
                        pointer=f"/route_table/routes/{number}/schema",
                        message=f"the attribute {name!r} of {schema.name!r} has another type "
                        f"than in {owners[name]!r}, which is behind the same source",
                    )
                )
            owners.setdefault(name, schema.name)
    if problems:
        raise ConfigurationError(problems)
    return attributes


def spared_paths(document: Mapping[str, Any], identity: Iterable[str]) -> tuple[str, ...]:
    """Paths that scrub never masks: the ids and the identity of an event.

    A number that only looks like a card number must not make two events one.
    """
    columns = {**document.get("attributes", {}), **document["columns"]}
    names = {*_IDS, *identity}
    for name in tuple(names):
        if "expression" in (column := columns.get(name, {})):
            names |= set(pl.sql_expr(column["expression"]).meta.root_names())
    paths: list[str] = []
    for name in sorted(names):
        column = columns.get(name, {})
        paths += [column["path"]] if "path" in column else column.get("first", [])
    return tuple(paths)


@lru_cache(maxsize=64)
def load_bundle(bundle_id: int) -> CompiledBundle:
    """Read and compile a bundle; cached for the life of the process, for bundles never change.

    Raises BundleMissing when there is none, when it does not compile, or when it was built for
    another engine: a batch must not be stamped with what did not evaluate it.
    """
    row = Bundle.objects.filter(pk=bundle_id).first()
    if row is None:
        raise BundleMissing(f"bundle {bundle_id} does not exist")
    if row.content["engine_version"] != ENGINE_VERSION:
        raise BundleMissing(
            f"bundle {row} was built for engine {row.content['engine_version']}, this is "
            f"{ENGINE_VERSION}: run `manage.py configure refresh`"
        )
    try:
        return compile_bundle(row.content, bundle_id=row.pk, digest=row.hash)
    except ConfigurationError as exc:
        raise BundleMissing(f"bundle {row} does not load: {exc}") from exc


def known_attributes() -> dict[str, pl.DataType]:
    """The attributes of every active schema and the common ones.

    A rule set may name them all before a source uses it.
    """
    attributes = dict(COMMON_ATTRIBUTES)
    for version in ConfigurationVersion.objects.filter(kind="schema", status="active"):
        attributes |= compile_schema(version.document, name=version.name).attributes
    return attributes
