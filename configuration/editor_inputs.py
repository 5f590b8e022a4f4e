"""What the forms of the editors are made of: rows of inputs, and texts that stand for values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import yaml

from configuration.documents import parse_text
from payflow.lib.errors import ConfigurationError, Problem

#: keywords whose value is a text as it stands: nothing in a pattern is YAML
_RAW: Final = frozenset({"pattern", "format", "path", "zone"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input; `kind` is text, lines, select or check ("on" is ticked)."""

    name: str
    #: head of its column
    label: str
    #: what it is called by who cannot see the table
    title: str
    value: str
    kind: str = "text"
    options: Sequence[str] = ()
    is_mono: bool = False
    is_changed: bool = False
    hint: str = ""

    @property
    def lines(self) -> int:
        """Rows of a text area: as many as it holds."""
        return min(12, max(1, self.value.count("\n") + 1, len(self.value) // 56 + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Inputs about one field, column or rule."""

    #: prefix of the names of its inputs
    key: str
    title: str
    #: where it is in the document, as a JSON pointer: problems find their row by it
    pointer: str
    inputs: Sequence[Input]
    sub: str = ""
    #: "new" or "changed" against the active version
    mark: str = ""
    #: heading above it, on the first row of a group
    heading: str = ""
    is_new: bool = False
    problems: Sequence[Problem] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A view of a document that can be changed in parts."""

    heads: Sequence[str]
    rows: Sequence[Row]
    #: what it is about, for the head of the card
    summary: str = ""
    can_remove: bool = True

    def typed(self, post: Mapping[str, str]) -> Form:
        """With what a person has typed instead of what the document says."""
        return replace(
            self,
            rows=[
                replace(row, inputs=[_typed(entry, post) for entry in row.inputs])
                for row in self.rows
            ],
        )

    def with_problems(self, problems: Sequence[Problem]) -> Form:
        """With each problem at the row that it is about; those of no row are left out."""
        placed = [(row_of(self.rows, problem.pointer), problem) for problem in problems]
        return replace(
            self,
            rows=[
                replace(row, problems=[p for key, p in placed if key == row.key])
                for row in self.rows
            ],
        )


def row_of(rows: Sequence[Row], pointer: str) -> str:
    """Key of the row that a pointer leads into, the deepest one; "" when none does."""
    within = [r for r in rows if r.pointer and f"{pointer}/".startswith(f"{r.pointer}/")]
    return max(within, key=lambda row: len(row.pointer)).key if within else ""


def _typed(entry: Input, post: Mapping[str, str]) -> Input:
    if entry.kind == "check":
        return replace(entry, value="on" if post.get(entry.name) else "")
    return replace(entry, value=post.get(entry.name, entry.value))


def pointer(*keys: str | int) -> str:
    """The JSON pointer (RFC 6901) of a path."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


# --- values as text ------------------------------------------------------------------------------


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6
    )
    text = text.removesuffix("\n").removesuffix("\n...")
    # YAML writes a text with line ends on several lines; JSON, which is YAML too, on one
    return json.dumps(value, ensure_ascii=False) if "\n" in text else text


def value_of(text: str, *, at: str) -> Any:
    """What a text on one line says in YAML. Raises ConfigurationError at the pointer."""
    if "\n" in text:
        raise ConfigurationError(Problem(pointer=at, message="must stand on one line"))
    try:
        return parse_text(f"value: {text}")["value"]
    except ConfigurationError as exc:
        message = f"{text!r} cannot be read as YAML; texts with : # {{ [ or quotes need quotes"
        raise ConfigurationError(Problem(pointer=at, message=message)) from exc


def as_lines(settings: Mapping[str, Any]) -> str:
    """Settings as a person types them, one `name: value` a line."""
    return "\n".join(
        f"{name}: {value if name in _RAW and isinstance(value, str) else flow(value)}"
        for name, value in settings.items()
    )


def from_lines(text: str, *, at: str) -> dict[str, Any]:
    """The settings of such lines. Raises ConfigurationError naming the line."""
    settings: dict[str, Any] = {}
    for line in text.splitlines():
        name, colon, value = (part.strip() for part in line.strip().partition(":"))
        if not name and not colon:
            continue
        if not colon or not value or " " in name:
            message = f"{line.strip()!r} is no setting: write name, colon, value"
            raise ConfigurationError(Problem(pointer=at, message=message))
        if name in settings:
            raise ConfigurationError(Problem(pointer=at, message=f"{name} stands here twice"))
        settings[name] = value if name in _RAW else value_of(value, at=at)
    return settings


def as_list(values: Any) -> str:
    """Texts with commas between them; as a YAML list where one of them holds a comma itself."""
    if not isinstance(values, list):
        return "" if values is None else str(values)
    texts = [str(value) for value in values]
    if any("," in text or text.startswith("[") for text in texts):
        return json.dumps(texts, ensure_ascii=False)
    return ", ".join(texts)


def from_list(text: str, *, at: str) -> list[Any]:
    """The texts of such a list."""
    if text.lstrip().startswith("["):
        values = value_of(text, at=at)
        return values if isinstance(values, list) else [values]
    return [part.strip() for part in text.split(",") if part.strip()]


def clean(text: str) -> str:
    """A text as the document is to hold it: browsers send CR LF."""
    return text.replace("\r\n", "\n").strip()
