"""How requests are read and lists are paged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.pagination import CursorPagination
from rest_framework.parsers import BaseParser


class YamlParser(BaseParser):
    """A document sent as it is: `curl --data-binary @schema.yaml` with its content type."""

    media_type = "application/yaml"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002  the framework's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> dict[str, str]:
        """{"text": the document}. Whether it is YAML is for the endpoint to say."""
        try:
            return {"text": stream.read().decode()}
        except UnicodeDecodeError as exc:
            raise ParseError(f"not UTF-8: an error at byte {exc.start}") from exc


class NewestFirst(CursorPagination):
    """Pages by the row's number: `{next, previous, results}`, no count of millions."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
