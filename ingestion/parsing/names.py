"""Every name that a schema or its mapping looks at, level by level."""

from __future__ import annotations

from ingestion.parsing.document import Document
from ingestion.parsing.json_schema import SchemaNode
from ingestion.parsing.paths import Keyed, Path, Step, is_header
from ingestion.parsing.reading import NameTree


def name_tree(document: Document) -> NameTree:
    """The names, from the message on; below the exploded array, those of its elements."""
    root = NameTree({})
    _add_properties(root, document.json_schema)
    paths = [path for column in document.every_column for path in column.paths]
    for path in (*paths, *(document.route.fields if document.route else ())):
        if not is_header(path):
            add_path(root, path)
    return root


def element_tree(tree: NameTree, place: Path) -> NameTree:
    """The names below a path of names."""
    for step in place:
        tree = tree.children.get(str(step), NameTree({}))
    return tree


def add_path(node: NameTree, path: Path) -> None:
    """Add the names on the way of a path."""
    for step in path:
        node = _below(node, step)


def _below(node: NameTree, step: Step) -> NameTree:
    if isinstance(step, str):
        return node.children.setdefault(step, NameTree({}))
    if node.elements is None:
        node.elements = NameTree({})
    if isinstance(step, Keyed):
        node.elements.children.setdefault(step.key, NameTree({}))
    return node.elements


def _add_properties(tree: NameTree, node: SchemaNode) -> None:
    for name in node.keywords.get("required", ()):
        tree.children.setdefault(name, NameTree({}))
    for name, child in node.properties.items():
        _add_properties(tree.children.setdefault(name, NameTree({})), child)
