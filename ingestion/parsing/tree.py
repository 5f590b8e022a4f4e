"""The fast path's plan: the names that a schema looks at, as levels of fields.

Every field is decoded as text, as raw JSON, or as an object of further fields. A field that the
fast path cannot judge is opaque: a message that has it goes to the slow path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, auto

from ingestion.parsing.document import Column, Document, Kind
from ingestion.parsing.json_schema import ANYTHING, SchemaNode, rules_of
from ingestion.parsing.paths import Path, Pick, is_header

_TEXT_KINDS = frozenset({Kind.TEXT, Kind.STRING})
_TEXT_KEYWORDS = frozenset({"minLength", "maxLength", "pattern", "format"})
_NUMBER_KEYWORDS = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
)
_BARE = re.compile(r"(?:true|false|-?[0-9]+)\Z")
#: characters that a JSON name holds only as escapes; the decoder knows no such names
_ESCAPED = re.compile(r'[\x00-\x1f"\\]')


class Wire(Enum):
    """How a field comes out of the decoder."""

    TEXT = auto()
    RAW = auto()
    OBJECT = auto()
    #: only whether it is there matters
    ANY = auto()
    #: an array whose elements are decoded one by one
    PARTS = auto()


@dataclass(slots=True, eq=False)
class Node:
    """One name at one place of the event."""

    path: Path
    schema: SchemaNode = ANYTHING
    children: dict[str, Node] = field(default_factory=dict)
    #: the columns that read it
    columns: list[Column] = field(default_factory=list)
    is_routed: bool = False
    #: without it the message fails, or is at least worth a second look
    required: bool = False
    #: null is worth a second look even where the schema allows it
    not_null: bool = False
    opaque: bool = False
    #: read both as a value and as an object of values: only where it is a value is it judged
    scalar: bool = False
    #: values that columns pick out of the array that this is, by their whole path
    picked: dict[Path, Node] = field(default_factory=dict)
    #: set where it does not follow from the above: headers, picked values, the exploded array
    given: Wire | None = None

    @property
    def wire(self) -> Wire:
        """What the decoder should make of it."""
        if self.given is not None:
            return self.given
        if self.opaque or self.scalar or self.picked:
            return Wire.RAW
        if self.children:
            return Wire.OBJECT
        if not (self.columns or self.is_routed or self.schema.keywords):
            return Wire.ANY
        return Wire.TEXT if self._is_text() else Wire.RAW

    @property
    def nullable(self) -> bool:
        """Whether the fast path may let null pass."""
        return not self.not_null and rules_of(self.schema).first(None, "") is None

    @property
    def closed(self) -> bool:
        """Whether the schema forbids other names beside the declared ones."""
        extra = self.schema.keywords.get("additionalProperties")
        return extra is not None and extra.never

    def walk(self) -> list[Node]:
        """The node and everything below it, parents first."""
        return [self, *(node for child in self.children.values() for node in child.walk())]

    def _is_text(self) -> bool:
        keywords = self.schema.keywords
        if "type" in keywords:
            return "string" in keywords["type"] and set(keywords["type"]) <= {"string", "null"}
        allowed = keywords.get("enum", keywords.get("const"))
        if allowed is not None:
            return all(value is None or isinstance(value, str) for value in allowed)
        if self.columns or self.is_routed:
            return all(_wants_text(column) for column in self.columns)
        return bool(_TEXT_KEYWORDS & keywords.keys()) and not _NUMBER_KEYWORDS & keywords.keys()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The plan of a document."""

    #: the message; where the schema explodes an array, a node of its own stands for it
    root: Node
    #: one element of that array
    element: Node | None
    headers: dict[str, Node]

    @property
    def around(self) -> list[Node]:
        """The nodes of the message."""
        return self.root.walk()[1:]

    @property
    def within(self) -> list[Node]:
        """The nodes of one part."""
        return self.element.walk()[1:] if self.element else []


def build_tree(document: Document) -> Tree | None:
    """The tree of a document; None when its JSON Schema leaves nothing to the fast path."""
    root = Node((), schema=document.json_schema, required=True)
    headers: dict[str, Node] = {}
    _add_declared(root)
    for column in document.every_column:
        for path in column.paths:
            nodes = _reach(root, path, headers)
            nodes[-1].columns.append(column)
            if column.required and len(column.paths) == 1 and column.default is None:
                for node in nodes:
                    node.required = node.not_null = True
    for path in document.route.fields if document.route else ():
        _reach(root, path, headers)[-1].is_routed = True
    place = document.explode or ()
    for node in _reach(root, place, headers):
        node.required = node.not_null = True
    for node in root.walk():
        node.opaque = _is_opaque(node)
        node.scalar = bool(node.children and (node.columns or node.is_routed))
        if node.opaque or node.scalar:
            node.children = {}
            node.picked = {}
    element = _take_out(root, place) if place else None
    if root.wire is not Wire.OBJECT or (place and (not element or element.wire is not Wire.OBJECT)):
        return None
    return Tree(root=root, element=element, headers=headers)


def _take_out(root: Node, place: Path) -> Node | None:
    """The node at a path of names, and in its place one for the array."""
    parent = root
    for name in place[:-1]:
        if str(name) not in parent.children:
            return None
        parent = parent.children[str(name)]
    name = str(place[-1])
    element = parent.children.get(name)
    if element is not None:
        stub = Node(place, required=True, not_null=True, given=Wire.PARTS)
        parent.children[name] = stub
    return element


def _add_declared(node: Node) -> None:
    for name, schema in node.schema.properties.items():
        child = Node((*node.path, name), schema=schema)
        node.children[name] = child
        _add_declared(child)
    for name in node.schema.keywords.get("required", ()):
        _child(node, name).required = True


def _reach(root: Node, path: Path, headers: dict[str, Node]) -> list[Node]:
    """The nodes along a path, made where they are missing."""
    if path and is_header(path):
        return [headers.setdefault(str(path[0]), Node(path, given=Wire.TEXT))]
    nodes = [root]
    for step in path:
        if isinstance(step, Pick):
            return [*nodes[1:], nodes[-1].picked.setdefault(path, Node(path, given=Wire.RAW))]
        nodes.append(_child(nodes[-1], str(step)))
    return nodes[1:]


def _child(parent: Node, name: str) -> Node:
    """The node of a name, made where the schema does not declare it."""
    if name not in parent.children:
        schema = SchemaNode({}, never=True) if parent.closed else ANYTHING
        parent.children[name] = Node((*parent.path, name), schema=schema)
    return parent.children[name]


def _is_opaque(node: Node) -> bool:
    keywords = node.schema.keywords
    if node.schema.never:
        return True
    if node.children and node.picked:
        return True
    if node.children:
        extra = keywords.get("additionalProperties")
        return bool(
            keywords.keys() & {"enum", "const"}
            or not node.schema.allows_type("object")
            or (extra is not None and not extra.never and extra.keywords)
            or any(_ESCAPED.search(name) for name in node.children)
        )
    return False


def _wants_text(column: Column) -> bool:
    if column.map is not None:
        # words that JSON may hold as a boolean or a number
        return column.kind in _TEXT_KINDS and not any(map(_BARE.match, column.map))
    return column.kind in _TEXT_KINDS or (column.time is not None and column.time.is_text)
