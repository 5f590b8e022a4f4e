"""Masks card data in what messages carry as a text: JSON or XML, perhaps in base64.

A text that is read as what it says is masked value by value, each by the path that the event has
it under, and is then done with: the message around it is masked without it. XML can spell a digit
in many ways (references, CDATA, comments between digits), so its values are masked as they are
read; where one is masked the XML is written anew, without comments.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from ingestion.parsing.reading import Rejected
from ingestion.parsing.wrapping import Wrapping
from ingestion.parsing.xml import Element, XmlRefused, read_elements
from ingestion.scrub.document import NotJsonError, mask_document, mask_named, strings_at
from ingestion.scrub.text import mask_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """A message whose carried text is masked."""

    body: bytes
    kinds: set[str]
    #: every value at the path was read as what it says: no mask is missing there
    is_read: bool


def mask_inside(body: bytes, wrapping: Wrapping, spared: frozenset[bytes]) -> Inside:
    """Masks what a message carries; `spared` are paths of the event, as for the message itself."""
    place = tuple(name.encode() for name in wrapping.path)
    try:
        found = strings_at(body, place)
    except NotJsonError:
        return Inside(body=body, kinds=set(), is_read=False)
    below = b".".join(place) + b"."
    spared_inside = frozenset(p.removeprefix(below) for p in spared if p.startswith(below))
    kinds: set[str] = set()
    is_read = None not in found
    pieces: list[bytes] = []
    done = 0
    for start, end in filter(None, found):
        try:
            data = wrapping.carried(json.loads(b'"' + body[start:end] + b'"'))
        except Rejected:
            is_read = False
            continue
        masked, more, is_known = _mask_carried(data, wrapping.format, spared_inside)
        is_read &= is_known
        if more:
            kinds |= more
            pieces += body[done:start], json.dumps(wrapping.carrying(masked))[1:-1].encode()
            done = end
    return Inside(body=b"".join((*pieces, body[done:])), kinds=kinds, is_read=is_read)


def _mask_carried(
    data: bytes, written: str, spared: frozenset[bytes]
) -> tuple[bytes, set[str], bool]:
    """The bytes without card data, the kinds found, and whether they are what they should be."""
    try:
        if written == "json":
            return *mask_document(data, spared), True
        return *_mask_xml(data, spared), True
    except (NotJsonError, XmlRefused, RecursionError):
        return *mask_text(data), False


def _mask_xml(data: bytes, spared: frozenset[bytes]) -> tuple[bytes, set[str]]:
    elements = read_elements(data)
    masker = _XmlMasker(spared)
    place = [elements.root.name.encode()]
    text = masker.write(elements.root, place, place)
    for aside in elements.asides:
        masker.kinds |= mask_text(aside.encode())[1]
    # <field name="cvv">123</field>: what only stands side by side, whatever the encoding of the
    # bytes; ids were spared above
    masked, found = mask_text(text.encode(), numbers=False)
    kinds = masker.kinds | found
    return (masked, kinds) if kinds else (data, kinds)


class _XmlMasker:
    """Writes elements anew, their values masked."""

    def __init__(self, spared: frozenset[bytes]) -> None:
        self._spared = spared
        self.kinds: set[str] = set()

    def write(self, element: Element, names: list[bytes], path: list[bytes]) -> str:
        """`names` are those of the elements, up to this one, and `path` is where the event has it.

        One frame a level: as deep as it is read.
        """
        name = self._name(element.name)
        text = f"<{name}"
        for key, value in element.attributes.items():
            at = f"@{key}".encode()
            masked = self._value(value, [*names, key.encode()], [*path, at])
            text += f" {self._name(key)}={quoteattr(masked)}"
        is_bare = not element.children and not element.attributes.keys() - {"type", "nil"}
        own = path if is_bare else [*path, b"#text"]
        within = self._value("".join(element.texts), names, own)
        pieces = [text, ">", escape(within, {"\r": "&#13;"})]
        for child in element.children:
            below = child.name.encode()
            place = path if element.is_array else [*path, below]
            pieces.append(self.write(child, [*names, below], place))
        return "".join((*pieces, f"</{name}>"))

    def _value(self, text: str, names: list[bytes], path: list[bytes]) -> str:
        if b".".join(path) in self._spared:
            return text
        masked, found = mask_named(text.encode(), names)
        self.kinds |= found
        return masked.decode() if found else text

    def _name(self, name: str) -> str:
        """A name stays a name."""
        masked, found = mask_text(name.encode())
        self.kinds |= found
        return masked.decode().replace("*", "_") if found else name
