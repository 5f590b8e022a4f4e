"""The two sides of every comparison: what is live for a source, and the same with a draft in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from configuration.models import ConfigurationVersion, Source
from ingestion.bundles import CompiledBundle, compile_bundle
from payflow.lib.errors import ConfigurationError, Problem

Kind = ConfigurationVersion.Kind


def live_content(source: Source) -> dict[str, Any]:
    """The content of the bundle that a source runs now. Raises ConfigurationError without one."""
    if source.active_bundle is None:
        raise ConfigurationError(
            Problem(pointer="", message=f"source {source} has no bundle: nothing is live for it")
        )
    content: dict[str, Any] = source.active_bundle.content
    return content


def draft_content(content: Mapping[str, Any], version: ConfigurationVersion) -> dict[str, Any]:
    """A bundle's content with a version in the place of its kind and name.

    Raises ConfigurationError when the version cannot be read, or has no place in the bundle.
    """
    if version.problems:
        raise ConfigurationError(
            [
                Problem(pointer=problem["pointer"], message=problem["message"])
                for problem in version.problems
            ]
        )
    if not uses(content, version):
        label = version.get_kind_display().lower()
        raise ConfigurationError(
            Problem(
                pointer="",
                message=f"source {content['source']} does not use the {label} {version.name!r}",
            )
        )
    part = {"name": version.name, "version": version.number, "document": version.document}
    if version.kind != Kind.SCHEMA:
        return {**content, version.kind: part}
    routes = [
        {**route, "schema": part} if route["schema"]["name"] == version.name else route
        for route in content["routes"]
    ]
    return {**content, "routes": routes}


def uses(content: Mapping[str, Any], version: ConfigurationVersion) -> bool:
    """Whether a bundle has another version of the same kind and name in it, or this one."""
    if version.kind == Kind.SCHEMA:
        return any(route["schema"]["name"] == version.name for route in content["routes"])
    return bool(content.get(version.kind, {}).get("name") == version.name)


def draft_bundle(source: Source, version: ConfigurationVersion) -> CompiledBundle:
    """The live bundle of a source with the draft in the place of its kind and name; id 0.

    Raises ConfigurationError when the draft is wrong, does not fit the rest, or is not used there.
    """
    return compile_bundle(draft_content(live_content(source), version))
