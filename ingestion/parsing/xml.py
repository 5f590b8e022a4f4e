"""XML as a JSON value, for events that are carried as XML.

    <a>text</a>                     {"a": "text"}
    <a><b>1</b><c/></a>             {"a": {"b": "1", "c": ""}}
    <a><b>1</b><b>2</b></a>         {"a": {"b": ["1", "2"]}}
    <a currency="EUR">1.00</a>      {"a": {"@currency": "EUR", "#text": "1.00"}}

The attributes `type` and `nil` are those of Rails, which Braintree writes: `type="array"` makes a
list of the children whatever their number, `integer` a number, `boolean` true or false, and
`nil="true"` null. Texts lose the white space around them.

A document type is refused whole: entities can be made to grow without bounds (CWE-776) and to
read files (CWE-611), and no payment event needs them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from ingestion.parsing.reading import MAX_DEPTH, JsonNumber, JsonObject, JsonValue

#: elements and attributes; what one message could hold besides would outlast a lease
MAX_ELEMENTS: Final = 30_000
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)\Z")
#: attributes that say how an element is read, and are no members
_RAILS: Final = frozenset({"type", "nil"})
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


class XmlRefused(Exception):
    """The bytes are no XML that payflow reads; says where, never what."""


def read_xml(data: bytes) -> JsonObject:
    """{name of the root: its value}. Raises XmlRefused."""
    root = read_elements(data).root
    return JsonObject([(root.name, root.value())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Elements:
    """An XML document as it was read."""

    root: Element
    #: comments and processing instructions: what no value holds
    asides: list[str]


def read_elements(data: bytes) -> Elements:
    """The elements of a document. Raises XmlRefused."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.begin
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.add_text
    parser.CommentHandler = reader.asides.append
    parser.ProcessingInstructionHandler = reader.add_instruction
    try:
        parser.Parse(data, True)
    except expat.ExpatError as exc:
        raise XmlRefused(f"an error in line {exc.lineno}, column {exc.offset}") from exc
    except (LookupError, ValueError) as exc:
        # what Python's codecs say of the encoding that the declaration names
        raise XmlRefused("an encoding that is not known") from exc
    return Elements(root=reader.document.children[0], asides=reader.asides)


def _refuse_doctype(*_: object) -> None:
    raise XmlRefused("a document type")


@dataclass(slots=True)
class Element:
    """One element with what is in it."""

    name: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    #: before, between and behind the children
    texts: list[str] = field(default_factory=list)

    @property
    def is_array(self) -> bool:
        """Whether its children are a list, without their names."""
        return self.attributes.get("type") == "array"

    def value(self) -> JsonValue:
        """What it is as JSON."""
        others = {name: text for name, text in self.attributes.items() if name not in _RAILS}
        kind = self.attributes.get("type", "")
        if self.attributes.get("nil") == "true":
            return None
        if self.is_array:
            return [child.value() for child in self.children]
        text = "".join(self.texts).strip()
        if not self.children and not others:
            return _typed(text, kind)
        members: list[tuple[str, JsonValue]] = [(f"@{k}", v) for k, v in others.items()]
        by_name: dict[str, list[JsonValue]] = {}
        for child in self.children:
            by_name.setdefault(child.name, []).append(child.value())
        members += [(name, vs[0] if len(vs) == 1 else vs) for name, vs in by_name.items()]
        if text:
            members.append(("#text", _typed(text, kind)))
        return JsonObject(members)


def _typed(text: str, kind: str) -> JsonValue:
    if kind == "integer" and _INTEGER.match(text):
        return JsonNumber(text)
    if kind == "boolean" and text in _BOOLEANS:
        return _BOOLEANS[text]
    return text


class _Reader:
    def __init__(self) -> None:
        self.document = Element("", {})
        self.asides: list[str] = []
        self._open = [self.document]
        self._left = MAX_ELEMENTS

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) > MAX_DEPTH:
            raise XmlRefused(f"more than {MAX_DEPTH} levels")
        self._left -= 1 + len(attributes)
        if self._left < 0:
            raise XmlRefused(f"more than {MAX_ELEMENTS} elements and attributes")
        self._open.append(Element(name, attributes))

    def end(self, _name: str) -> None:
        self._open[-2].children.append(self._open.pop())

    def add_text(self, text: str) -> None:
        self._open[-1].texts.append(text)

    def add_instruction(self, target: str, text: str) -> None:
        self.asides.append(f"{target} {text}")
