"""What an exported directory holds: its manifest, written, read and proved.

    manifest.json          format, tenant, schema version, moment, and of each file its rows, bytes and SHA-256
    manifest.json.sha256   the SHA-256 of the manifest, as `sha256sum -c` reads it
    platform.json          the tenant's rows of shared tables
    tables/<table>.copy    the rows of one table of the tenant's schema, in PostgreSQL's text format of COPY;
                           where its name is no plain one, `tables/<number>.copy`

Format 1 has a file by each table's name, whatever it is, and does not say the last numbers given. It is still read.

The hashes find damage, not forgery: whoever can write the directory can write new hashes as well.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from tenants.errors import BadInput

FORMAT = 2
READ = (1, FORMAT)
NAME = "manifest.json"
SUM = "manifest.json.sha256"
PLATFORM = "platform.json"
CHUNK = 256 * 1024
_PLAIN = re.compile(r"[a-z][a-z0-9_]*")
_FILE = re.compile(rf"platform\.json|tables/({_PLAIN.pattern}|[0-9]+)\.copy")


class BadExport(BadInput):
    """This directory is no whole export of a tenant."""


@dataclass(frozen=True, slots=True)
class File:
    """One file: its name in the directory, the table and columns its rows are of (none: `platform.json`).

    `last`: of each column that counts, the last number it gave. A row that is gone may have had it.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    rows: int
    bytes: int
    sha256: str
    last: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a directory holds.

    `tenant` has id, slug, name and schema_name; `schema_version` the applied migrations (`audit.0002_trail`);
    `next_transaction` is above each transaction that the rows name.
    """

    format: int
    created_at: str
    tenant: dict[str, str]
    schema_version: tuple[str, ...]
    next_transaction: int
    files: tuple[File, ...]

    @property
    def tables(self) -> tuple[File, ...]:
        """The files of the tenant's own tables."""
        return tuple(file for file in self.files if file.table)

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each of the tenant's tables has."""
        return {file.table: file.rows for file in self.tables}

    def text(self) -> bytes:
        """Return the manifest as it is written."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False).encode() + b"\n"

    @property
    def sha256(self) -> str:
        """The hash that names this very export."""
        return hashlib.sha256(self.text()).hexdigest()


def file_of(table: str, number: int) -> str:
    """Return the name of a table's file: no directory takes each name that a table can have, and none of them twice."""
    return f"tables/{table if _PLAIN.fullmatch(table) else format(number, '04')}.copy"


def create(path: Path) -> BinaryIO:
    """Open a new file for its owner alone."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=CHUNK)


def write(manifest: Manifest, directory: Path) -> None:
    """Write the manifest and its hash."""
    for name, content in ((NAME, manifest.text()), (SUM, f"{manifest.sha256}  {NAME}\n".encode())):
        with create(directory / name) as file:
            file.write(content)


def read(directory: Path) -> Manifest:
    """Return the manifest of a directory, once each file was found to be what it says. Raises BadExport."""
    text = _bytes_of(directory, NAME)
    if _bytes_of(directory, SUM).split()[:1] != [hashlib.sha256(text).hexdigest().encode()]:
        raise BadExport(f"{NAME} is not what was written: its SHA-256 is not that of {SUM}. Copy the directory anew.")
    manifest = _parse(text)
    for file in manifest.files:
        _prove(directory, file)
    return manifest


def chunks(path: Path) -> Iterator[bytes]:
    """Return the content of a file in pieces."""
    with path.open("rb") as content:
        while piece := content.read(CHUNK):
            yield piece


def _prove(directory: Path, file: File) -> None:
    path = directory / file.name
    size = path.stat().st_size if path.is_file() else None
    if size is None:
        raise BadExport(f"{file.name} is missing. Copy the directory anew.")
    if size != file.bytes:
        raise BadExport(f"{file.name} has {size} bytes instead of {file.bytes}. Copy the directory anew.")
    found = hashlib.sha256()
    for piece in chunks(path):
        found.update(piece)
    if found.hexdigest() != file.sha256:
        raise BadExport(f"{file.name} is not what was written: its SHA-256 differs. Copy the directory anew.")


def _bytes_of(directory: Path, name: str) -> bytes:
    try:
        return (directory / name).read_bytes()
    except OSError as error:
        raise BadExport(f"{directory} is no whole export: {name} cannot be read ({error.strerror}).") from error


def _parse(text: bytes) -> Manifest:
    """Return what a manifest says. One that its own hash vouches for may still be of another format."""
    said: dict[str, Any] = json.loads(text)
    if said.get("format") not in READ:
        known = " and ".join(map(str, READ))
        raise BadExport(f"The export is of format {said.get('format')}, and this release reads {known}: use its own.")
    files = tuple(File(**{**file, "columns": tuple(file["columns"])}) for file in said.pop("files"))
    if strange := [file.name for file in files if not _is_name(file)]:
        raise BadExport(f"The manifest names files that no export has: {', '.join(strange)}.")
    if len({file.name for file in files}) < len(files) or len({file.table for file in files}) < len(files):
        raise BadExport("The manifest names a file or a table twice.")
    if PLATFORM not in {file.name for file in files}:
        raise BadExport(f"The manifest does not name {PLATFORM}, so nothing proves it. Copy the directory anew.")
    return Manifest(**{**said, "schema_version": tuple(said["schema_version"])}, files=files)


def _is_name(file: File) -> bool:
    """Tell whether a file may have this name: nothing outside the directory has."""
    by_table = "/" not in file.table and file.name == f"tables/{file.table}.copy"
    return by_table or _FILE.fullmatch(file.name) is not None
