"""What is found elsewhere: texts that should be documents, each with the place it came from."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from configuration.documents import tell
from payflow.lib.errors import ConfigurationError, Retryable

#: more than this is no configuration of payflow
MAX_DOCUMENTS: Final = 200
#: bytes
_MAX_SIZE: Final = 2**20
#: characters that the database has for a key
_MAX_KEY: Final = 256
#: as many bytes show that a document is too large
ENOUGH: Final = _MAX_SIZE + 1


class Unreachable(Retryable):
    """The place does not answer, or not as it should: what was read before stays good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One document, as it is there now."""

    #: file name, or key and label
    key: str
    #: kind and name are "" where the text is too wrong to say
    kind: str = ""
    name: str = ""
    text: str = ""
    #: why the text cannot be taken, "" when it can
    problem: str = ""
    #: of several documents for one kind and name the highest counts, then the first key
    number: int = 0

    @property
    def checksum(self) -> str:
        """SHA-256 of what was read, or of why it was not."""
        return text_checksum(self.text or f"problem: {self.problem}")


class Origin(Protocol):
    """A place that holds documents."""

    #: "directory" or "app_configuration": the name in the database
    name: str
    #: which one, in words for a person; never a secret
    title: str

    def __hash__(self) -> int: ...

    def read(self) -> list[Found]:
        """All that is there now. Raises Unreachable."""


def key_of(name: str) -> str:
    """What a document is called here: a file's name need be no text, and a key may be too long."""
    key = name.encode(errors="backslashreplace").decode()
    return key if len(key) <= _MAX_KEY else f"{key[: _MAX_KEY - 17]} {text_checksum(key)[:16]}"


def text_checksum(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def found_text(key: str, data: bytes, *, kind: str = "", name: str = "", number: int = 0) -> Found:
    """A document of its bytes, with its kind and name where they are not known already."""
    if len(data) > _MAX_SIZE:
        return Found(key=key, kind=kind, name=name, problem=f"is larger than {_MAX_SIZE:,} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Found(key=key, kind=kind, name=name, problem="is no UTF-8 text")
    if "\0" in text or not text.strip():
        problem = "is empty" if not text.strip() else "holds a NUL character"
        return Found(key=key, kind=kind, name=name, problem=problem)
    if not kind:
        with suppress(ConfigurationError):  # a draft of it says what is wrong
            written = tell(text)
            kind, name = written.kind, written.name
    return Found(key=key, kind=kind, name=name, text=text, number=number)


def without_rivals(found: list[Found]) -> list[Found]:
    """The same, where only one document of each kind and name can be taken."""
    best: dict[tuple[str, str], Found] = {}
    for item in sorted(found, key=lambda item: (-item.number, item.key)):
        if item.kind and not item.problem:
            best.setdefault((item.kind, item.name), item)
    return [
        item
        if item.problem or not item.kind or (winner := best[item.kind, item.name]) is item
        else Found(
            key=item.key,
            kind=item.kind,
            name=item.name,
            problem=f"not used: {winner.key} gives {item.name} too",
        )
        for item in found
    ]
