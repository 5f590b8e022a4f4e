"""How requests are read and lists are paged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import IO, Any, Final

from rest_framework.exceptions import APIException, NotFound, ParseError
from rest_framework.pagination import CursorPagination
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

#: bytes of a request; a document has a megabyte at most, and JSON may write each letter as six
MAX_BODY: Final = 8 * 2**20
#: of the number of a row
_MAX_DIGITS: Final = 19


class TooLarge(APIException):
    """A request larger than any that is needed."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_detail = f"A request has at most {MAX_BODY:,} bytes."


class JsonParser(BaseParser):
    """JSON as RFC 8259 says it: UTF-8, without NaN; no more of it than can be meant."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002  the framework's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        """What it says. Raises TooLarge and ParseError; the framework's own reads without end."""
        text = _text(stream)
        try:
            return json.loads(text, parse_constant=_no_constant)
        except RecursionError as exc:
            raise ParseError("not to be read: it is nested too deeply") from exc
        except ValueError as exc:
            raise ParseError(f"not JSON: {exc}") from exc


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
        return {"text": _text(stream)}


class NewestFirst(CursorPagination):
    """Pages by the row's number: `{next, previous, results}`, no count of millions."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500

    def decode_cursor(self, request: Request) -> Any:
        """The place to go on from. Raises NotFound for one that no page has given."""
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None:
            place = str(cursor.position)
            if not place.isdecimal() or len(place) > _MAX_DIGITS:
                raise NotFound(self.invalid_cursor_message)
        return cursor


def _text(stream: IO[Any]) -> str:
    data = stream.read(MAX_BODY + 1)
    if len(data) > MAX_BODY:
        raise TooLarge
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as exc:
        raise ParseError(f"not UTF-8: an error at byte {exc.start}") from exc


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")
