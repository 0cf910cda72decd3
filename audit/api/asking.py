"""What an export is asked for: a form of file, and the filter of a list. One reader for URLs, bodies and commands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import QueryDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from audit.api import filters
from audit.api.parameters import described
from audit.formats import FILES
from audit.query import Filter
from tenants.api.base import repeated
from tenants.errors import Fault, bad_parameters, parameter_fault

FORMATS = tuple(FILES)
COMPRESSIONS = ("gzip",)
# An export is all of it, oldest first, and whole entries.
FILTERS = filters.FILTER
_GZIP = "application/gzip"


@dataclass(frozen=True, slots=True)
class Export:
    """What was asked: the form (of `formats.FILES`), whether in gzip, which entries; `said` is the filter as sent."""

    form: str
    compress: bool
    filter: Filter
    said: dict[str, list[str]]

    @property
    def media_type(self) -> str:
        """The Content-Type of the file."""
        return _GZIP if self.compress else FILES[self.form].media_type

    def file_name(self, slug: str, moment: datetime) -> str:
        """Return what the file is called where it is saved: whose trail it is, and of when (in UTC)."""
        suffix = FILES[self.form].suffix + (".gz" if self.compress else "")
        return f"{slug}-trail-{moment:%Y%m%dT%H%M%SZ}{suffix}"

    def told(self) -> dict[str, Any]:
        """Return what the trail is told of an export."""
        return {"format": self.form, "compress": "gzip" if self.compress else None, "filter": self.said}


def read(sent: QueryDict) -> Export:
    """Return what parameters ask. Raises BadInput, which names each fault."""
    rest = sent.copy()
    forms, compressions = rest.pop("format", []), rest.pop("compress", [])
    faults = [*_word("format", forms, FORMATS), *_word("compress", compressions, COMPRESSIONS, needed=False)]
    if not faults and compressions and not FILES[forms[0]].compressible:
        faults.append(parameter_fault("compress", f"A {forms[0]} file is compressed in itself."))
    if faults:
        raise bad_parameters(faults)
    wanted = filters.read(rest, FILTERS).filter
    return Export(forms[0], bool(compressions), wanted, {name: rest.getlist(name) for name in rest})


def parameters(said: dict[str, list[str]], form: str, *, compress: bool) -> QueryDict:
    """Return parameters that `read` takes, of a filter as it was sent."""
    made = QueryDict(mutable=True)
    for name, values in said.items():
        made.setlist(name, values)
    made["format"] = form
    if compress:
        made["compress"] = COMPRESSIONS[0]
    return made


def _word(name: str, values: list[str], words: tuple[str, ...], *, needed: bool = True) -> list[Fault]:
    if len(values) > 1:
        return [repeated(name)]
    if not values and not needed:
        return []
    if not values or values[0] not in words:
        return [parameter_fault(name, f"This is one of: {', '.join(words)}.")]
    return []


DESCRIBED = [
    OpenApiParameter("format", required=True, enum=FORMATS, description="The form of the file."),
    OpenApiParameter("compress", enum=COMPRESSIONS, description="Compress the file as it goes (all but parquet)."),
    *described(FILTERS),
]


def files(status: int, description: str) -> dict[Any, Any]:
    """Return the answers that are files as the OpenAPI document lists them, first as bytes, which all clients know."""
    kinds = dict.fromkeys(["application/octet-stream", *(form.media_type for form in FILES.values()), _GZIP])
    return {(status, kind): OpenApiResponse(OpenApiTypes.BINARY, description) for kind in kinds}
