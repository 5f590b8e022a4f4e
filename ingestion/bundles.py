"""Bundles, compiled: everything that evaluate() needs of one source, built once per process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import polars as pl

from configuration.models import Bundle, ConfigurationVersion
from ingestion.parsing import CompiledSchema, compile_schema
from ingestion.scrub import ScrubRules
from metrics.columns import COMMON_ATTRIBUTES
from metrics.compliance import CompiledCompliance, compile_compliance
from metrics.rules import CompiledMetrics, compile_metrics
from payflow.lib.errors import BundleMissing, ConfigurationError
from payflow.lib.version import ENGINE_VERSION

_IDS: Final = ("transaction_id", "correlation_id", "merchant_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledBundle:
    """A bundle ready to evaluate with."""

    #: primary key of its row, 0 when it has none (tests, drafts)
    id: int
    hash: str
    content: Mapping[str, Any]
    schema: CompiledSchema
    #: name and number, e.g. "transaction v3": payloads compare only within one
    schema_version: str
    metrics: CompiledMetrics
    compliance: CompiledCompliance
    scrub: ScrubRules


def compile_bundle(
    content: Mapping[str, Any], *, bundle_id: int = 0, digest: str = ""
) -> CompiledBundle:
    """Compile a bundle's content. Raises ConfigurationError; pure."""
    schema_part, metrics_part = content["routes"][0]["schema"], content["metrics"]
    # engine 1 had no compliance rules
    compliance_part = content.get("compliance", {"document": {}})
    schema = compile_schema(schema_part["document"], name=schema_part["name"])
    return CompiledBundle(
        id=bundle_id,
        hash=digest,
        content=content,
        schema=schema,
        schema_version=f"{schema_part['name']} v{schema_part['version']}",
        metrics=compile_metrics(metrics_part["document"], attributes=schema.attributes),
        compliance=compile_compliance(compliance_part["document"], attributes=schema.attributes),
        scrub=ScrubRules(spared=spared_paths(schema_part["document"], schema.identity.fields)),
    )


def spared_paths(document: Mapping[str, Any], identity: Iterable[str]) -> tuple[str, ...]:
    """Paths that scrub never masks: the ids and the identity of an event.

    A number that only looks like a card number must not make two events one.
    """
    columns = {**document.get("attributes", {}), **document["columns"]}
    paths: list[str] = []
    for name in sorted({*_IDS, *identity}):
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
