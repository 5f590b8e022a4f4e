"""The versions that a bundle holds, as links to their pages."""

from __future__ import annotations

from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from configuration.models import Bundle, ConfigurationVersion
from payflow.lib.pages.display import joined, link, row_url

Kind = ConfigurationVersion.Kind


def links_of(bundle: Bundle) -> list[SafeString]:
    """`schema transaction v2`, `metrics default v1`, `compliance default v1`."""
    parts: list[tuple[str, list[dict[str, Any]]]] = [
        (Kind.SCHEMA, bundle.schemas),
        (Kind.METRICS, [bundle.content["metrics"]]),
    ]
    if bundle.content.get("compliance"):
        parts.append((Kind.COMPLIANCE, [bundle.content["compliance"]]))
    return [
        format_html("{} {}", str(kind), joined(_links(kind, found), ", ")) for kind, found in parts
    ]


def schema_link(bundle: Bundle, name: str) -> SafeString | str:
    """The version of a schema that evaluated what came under this bundle."""
    found = [schema for schema in bundle.schemas if schema["name"] == name]
    return _links(Kind.SCHEMA, found)[0] if found else name


def _links(kind: str, parts: list[dict[str, Any]]) -> list[SafeString | str]:
    """Each once; in words alone where the version is gone."""
    named = {(part["name"], part["version"]): None for part in parts}
    rows = ConfigurationVersion.objects.filter(kind=kind, name__in=[name for name, _ in named])
    keys = {(row.name, row.number): row.pk for row in rows.only("name", "number")}
    return [
        link(row_url("configuration.configurationversion", keys[one]), f"{one[0]} v{one[1]}")
        if one in keys
        else f"{one[0]} v{one[1]}"
        for one in named
    ]
