"""Which version a person means: `transaction`, `transaction@7`, `metrics/default@2`."""

from __future__ import annotations

import re
from typing import Final

from configuration.models import ConfigurationVersion
from payflow.lib.errors import ConfigurationError, Problem

Kind = ConfigurationVersion.Kind
Status = ConfigurationVersion.Status

_REFERENCE: Final = re.compile(
    rf"(?:(?P<kind>{'|'.join(Kind)})/)?(?P<name>[A-Za-z0-9_.-]+)(?:@(?P<number>[1-9][0-9]{{0,8}}))?"
)


def find_version(reference: str) -> ConfigurationVersion:
    """The version of a reference; without a number the active one, else the newest.

    The kind may be left out where the name alone tells. Raises ConfigurationError.
    """
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise _unknown(f"{reference!r} names no version: write NAME, NAME@3 or KIND/NAME@3")
    kind, name = found["kind"] or find_kind(found["name"]), found["name"]
    versions = ConfigurationVersion.objects.filter(kind=kind, name=name)
    if found["number"]:
        version = versions.filter(number=int(found["number"])).first()
    else:
        version = versions.filter(status=Status.ACTIVE).first() or versions.first()
    if version is None:
        numbers = ", ".join(map(str, versions.order_by("number").values_list("number", flat=True)))
        known = f"there are versions {numbers}" if numbers else _known(kind)
        raise _unknown(f"there is no {Kind(kind).label.lower()} {reference}: {known}")
    return version


def find_kind(name: str) -> str:
    """The kind of what has this name; raises ConfigurationError unless there is just one."""
    kinds = sorted(
        set(ConfigurationVersion.objects.filter(name=name).values_list("kind", flat=True))
    )
    if not kinds:
        raise _unknown(f"nothing is named {name!r}: see `configure status`")
    if len(kinds) > 1:
        choices = " or ".join(f"{kind}/{name}" for kind in kinds)
        raise _unknown(f"{name!r} is the name of several: write {choices}")
    return kinds[0]


def _known(kind: str) -> str:
    names = (
        ConfigurationVersion.objects.filter(kind=kind)
        .order_by("name")
        .values_list("name", flat=True)
        .distinct()
    )
    return f"there are {', '.join(names) or 'none'}"


def _unknown(message: str) -> ConfigurationError:
    return ConfigurationError(Problem(pointer="", message=message))
