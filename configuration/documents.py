"""Documents as people write them: YAML or JSON texts that become versions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from configuration.models import ConfigurationVersion
from configuration.yaml_text import Unreadable, load
from payflow.lib.errors import ConfigurationError, Problem

#: what a schema or rule set may be called: it stands in addresses, paths and commands
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: bytes; a document of thousands of rules is smaller
_MAX_SIZE: Final = 2**20
_MAX_DEPTH: Final = 50
#: characters; every problem names the keys around it
_MAX_KEY: Final = 256
#: from here on, a float is written with an exponent and without a point
_NO_POINT: Final = 1e16
#: of one text; a reader mends the first ones first
_MAX_PROBLEMS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file that holds a schema or a rule set."""

    #: schema, metrics or compliance
    kind: str
    name: str
    document: dict[str, Any]
    #: as its author wrote it
    text: str
    #: JSON pointer -> line of the text, from 1
    lines: Mapping[str, int]


def read_file(path: Path) -> Written:
    """The document of a file.

    A schema has `columns`, a metric rule set `metrics`, a compliance rule set `rules`. Raises
    ConfigurationError when it is none of them, or no YAML that can be kept.
    """
    return tell(_text(path), label=path.name)


def tell(text: str, *, label: str = "the text") -> Written:
    """What a text is, by its keys and its name; raises ConfigurationError as read_file does."""
    document, lines = read_text(text, label=label)
    name = document.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _problem(
            "a name is required: letters, digits, `_`, `.` and `-`, at most 64",
            pointer="/name",
            line=lines.get("/name", 0),
        )
    kind = kind_of(document)
    if kind is None:
        raise _problem(
            f"{label} is no transaction schema (`columns`), no metric rule set (`metrics`) and "
            "no compliance rule set (`rules`)"
        )
    return Written(kind=kind, name=name, document=document, text=text, lines=lines)


def read_document(path: Path) -> tuple[str, str, dict[str, Any]]:
    """(kind, name, document) of a file; raises as read_file does."""
    written = read_file(path)
    return written.kind, written.name, written.document


def kind_of(document: Mapping[str, Any]) -> str | None:
    """What a document is, by its keys; None when it is nothing that payflow knows."""
    if "columns" in document:
        return ConfigurationVersion.Kind.SCHEMA
    if "metrics" in document or "extractors" in document:
        return ConfigurationVersion.Kind.METRICS
    return ConfigurationVersion.Kind.COMPLIANCE if "rules" in document else None


def read_text(
    text: str, *, label: str = "the text", begins: str = "name: .."
) -> tuple[dict[str, Any], dict[str, int]]:
    """(document, JSON pointer -> line) of a YAML or JSON text; `begins` is said to who is wrong.

    Raises ConfigurationError when it is none, or none that a version can keep.
    """
    if len(text.encode(errors="surrogatepass")) > _MAX_SIZE:
        raise _problem(f"{label} is larger than {_MAX_SIZE:,} bytes")
    try:
        document, lines = load(text)
    except Unreadable as exc:
        raise _problem(f"{label} is no YAML or JSON: {exc}", line=exc.line) from exc
    if not isinstance(document, dict):
        raise _problem(f"{label} holds no mapping: it begins with `{begins}`")
    problems = [
        problem for problem, _ in zip(unstorable(document), range(_MAX_PROBLEMS), strict=False)
    ]
    if problems:
        raise ConfigurationError(placed(problems, lines))
    return _as_stored(document), lines


def parse_text(text: str, *, label: str = "the text") -> dict[str, Any]:
    """The document that a YAML or JSON text says; raises as read_text does."""
    return read_text(text, label=label)[0]


def placed(problems: Iterable[Problem], lines: Mapping[str, int]) -> list[Problem]:
    """The problems with the line of their place, or of the nearest place around it."""
    return [
        problem if problem.line else replace(problem, line=_line(problem.pointer, lines))
        for problem in problems
    ]


def _line(pointer: str, lines: Mapping[str, int]) -> int:
    while pointer and pointer not in lines:
        pointer = pointer.rpartition("/")[0]
    # the whole document stands on no line
    return lines[pointer] if pointer else 0


def _as_stored(value: Any) -> Any:
    """The value as PostgreSQL gives it back: 1e22 as an integer, for it has no point."""
    if isinstance(value, dict):
        return {name: _as_stored(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_stored(item) for item in value]
    if isinstance(value, float) and abs(value) >= _NO_POINT:
        return int(value)
    return value


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_SIZE + 1)
    except OSError as exc:
        raise _problem(f"{path} cannot be read: {exc.strerror}") from exc
    if len(data) > _MAX_SIZE:
        raise _problem(f"{path.name} is larger than {_MAX_SIZE:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise _problem(f"{path.name} is no YAML or JSON: {exc}") from exc


def unstorable(value: Any, pointer: str = "") -> Iterator[Problem]:
    """What PostgreSQL's JSON cannot hold."""
    if pointer.count("/") > _MAX_DEPTH:
        yield Problem(pointer=pointer, message=f"stands more than {_MAX_DEPTH} levels deep")
    elif isinstance(value, dict):
        for name, item in value.items():
            if text := _unstorable_key(name):
                yield Problem(pointer=pointer, message=f"a key {text}")
                continue
            place = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            yield from unstorable(item, place)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from unstorable(item, f"{pointer}/{number}")
    elif isinstance(value, str):
        if text := _unstorable_text(value):
            yield Problem(pointer=pointer, message=text)
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(pointer=pointer, message="a number that is not finite cannot be kept")
    elif not (value is None or isinstance(value, bool | int | float)):
        message = f"a {type(value).__name__} cannot be kept: write it in quotes"
        yield Problem(pointer=pointer, message=message)


def _unstorable_key(name: str) -> str:
    if len(name) > _MAX_KEY:
        return f"is longer than {_MAX_KEY} characters"
    return _unstorable_text(name)


def _unstorable_text(text: str) -> str:
    if "\0" in text:
        return "holds a NUL character"
    return "holds half a character" if any("\ud800" <= c <= "\udfff" for c in text) else ""


def _problem(message: str, *, pointer: str = "", line: int = 0) -> ConfigurationError:
    return ConfigurationError(Problem(pointer=pointer, message=message, line=line))
