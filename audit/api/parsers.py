"""The bodies that the API takes: JSON in UTF-8, as `audit.strict` reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from email.message import Message
from typing import IO, Any

from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from audit.strict import parse

# A JSON document on each line.
STREAM = "application/x-ndjson"


class StrictJSONParser(BaseParser):
    """Parses `application/json` in UTF-8. Raises what reading the body raises (`tenants.bodies`), and BadInput."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the document of a request's body."""
        check_charset(media_type or "")
        return parse(stream.read())


class Negotiation(DefaultContentNegotiation):
    """Takes a body that does not say what it is for JSON: there are clients that never say it."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Return the parser of a request's body."""
        if request.content_type:
            return super().select_parser(request, parsers)
        return next((parser for parser in parsers if isinstance(parser, StrictJSONParser)), None)


def check_charset(media_type: str) -> None:
    """Refuse a body that is said to be in another encoding than UTF-8. Raises UnsupportedMediaType."""
    header = Message()
    header["content-type"] = media_type
    charset = header.get_content_charset("utf-8")
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMediaType(media_type, f"JSON is sent in UTF-8, not in {charset}.")
