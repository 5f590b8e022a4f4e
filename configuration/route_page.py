"""The page on which a source's route table is changed: YAML in, the problems with their lines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import yaml
from django.contrib.auth.models import User

from configuration.documents import placed, read_text
from configuration.models import Source
from configuration.routes import read_route_table
from configuration.sources import route
from payflow.lib.errors import ConfigurationError, Problem

#: characters; the longest table that is allowed is shorter
MAX_TEXT: Final = 2**17
_POINTER: Final = "/route_table"
EXAMPLE: Final = """\
by: {field: type}            # or {header: event-type}
routes:                      # the first that takes a message wins
  - in: ["charge.*", payment]
    schema: transaction
otherwise: failed            # or ignored
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteEdit:
    """What the page shows: the text, and what is wrong with it."""

    text: str
    problems: list[Problem]


def table_text(source: Source) -> str:
    """The table as YAML; empty without one."""
    if not source.route_table:
        return ""
    return yaml.safe_dump(source.route_table, sort_keys=False, allow_unicode=True, width=100)


def save_text(source: Source, text: str, *, by: User) -> RouteEdit:
    """Make the text the table of the source, if nothing is wrong with it.

    An empty one sends every message to the source's one schema again.
    """
    if len(text) > MAX_TEXT:
        problem = Problem(pointer="", message=f"is longer than {MAX_TEXT:,} characters")
        return RouteEdit(text=text[:MAX_TEXT], problems=[problem])
    lines: dict[str, int] = {}
    try:
        table: dict[str, Any] = {}
        if text.strip():
            table, lines = read_text(text)
            read_route_table(table, pointer="")
        route(source, by=by, route_table=table, schema_name=source.schema_name)
    except ConfigurationError as exc:
        found = [replace(p, pointer=p.pointer.removeprefix(_POINTER)) for p in exc.problems]
        return RouteEdit(text=text, problems=placed(found, lines))
    return RouteEdit(text=text, problems=[])
