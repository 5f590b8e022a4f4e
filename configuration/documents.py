"""Documents as people write them: YAML or JSON files that become versions."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from configuration.models import ConfigurationVersion
from payflow.lib.errors import ConfigurationError, Problem

#: what a schema or rule set may be called: it stands in addresses, paths and commands
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: bytes; a document of thousands of rules is smaller
_MAX_SIZE: Final = 2**20
_MAX_DEPTH: Final = 50


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key stands once, and nothing refers to something else."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise _refused(event, "aliases are not supported: write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise _refused(key, f"the key {key.value!r} stands here twice")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_document(path: Path) -> tuple[str, str, dict[str, Any]]:
    """(kind, name, document) of a file.

    A schema has `columns`, a metric rule set `metrics`, a compliance rule set `rules`. Raises
    ConfigurationError when it is none of them, or no YAML that can be kept.
    """
    document = parse_text(_text(path), label=path.name)
    kind, name = kind_and_name(document, label=path.name)
    return kind, name, document


def kind_and_name(document: Mapping[str, Any], *, label: str = "the text") -> tuple[str, str]:
    """What a document is, by its first keys. Raises ConfigurationError when it is nothing."""
    name = document.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _problem(
            "a name is required: letters, digits, `_`, `.` and `-`, at most 64", pointer="/name"
        )
    if "columns" in document:
        return ConfigurationVersion.Kind.SCHEMA, name
    if "metrics" in document or "extractors" in document:
        return ConfigurationVersion.Kind.METRICS, name
    if "rules" in document:
        return ConfigurationVersion.Kind.COMPLIANCE, name
    raise _problem(
        f"{label} is no transaction schema (`columns`), no metric rule set (`metrics`) and no "
        "compliance rule set (`rules`)"
    )


def parse_text(text: str, *, label: str = "the text") -> dict[str, Any]:
    """The document that a YAML or JSON text says.

    Raises ConfigurationError when it is none, or none that a version can keep.
    """
    if len(text.encode(errors="surrogatepass")) > _MAX_SIZE:
        raise _problem(f"{label} is larger than {_MAX_SIZE:,} bytes")
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader, only stricter
    except yaml.YAMLError as exc:
        raise _problem(f"{label} is no YAML or JSON: {exc}") from exc
    except RecursionError as exc:
        raise _problem(f"{label} is nested too deeply") from exc
    if not isinstance(document, dict):
        raise _problem(f"{label} holds no mapping")
    if unstorable := _unstorable(document):
        raise _problem(f"{label} holds {unstorable}, which no version can keep")
    return document


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_SIZE + 1)
    except OSError as exc:
        raise _problem(f"{path} cannot be read: {exc.strerror}") from exc
    if len(data) > _MAX_SIZE:
        raise _problem(f"{path.name} is larger than {_MAX_SIZE:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise _problem(f"{path.name} is no YAML or JSON: {exc}") from exc


def _unstorable(value: Any, depth: int = 0) -> str:
    """What PostgreSQL's JSON cannot hold, in words; "" when there is nothing."""
    if depth > _MAX_DEPTH:
        return f"more than {_MAX_DEPTH} levels"
    if isinstance(value, str):
        if "\0" in value:
            return "a NUL character"
        return "half a character" if any("\ud800" <= c <= "\udfff" for c in value) else ""
    if isinstance(value, float) and not math.isfinite(value):
        return "a number that is not finite"
    if isinstance(value, dict):
        parts = [*value, *value.values()]
    elif isinstance(value, list):
        parts = value
    else:
        return (
            ""
            if value is None or isinstance(value, bool | int | float)
            else f"a {type(value).__name__}"
        )
    return next((text for part in parts if (text := _unstorable(part, depth + 1))), "")


def _refused(place: Any, text: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, text, place.start_mark)


def _problem(message: str, *, pointer: str = "") -> ConfigurationError:
    return ConfigurationError(Problem(pointer=pointer, message=message))
