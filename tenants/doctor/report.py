"""A report as a table for people, or as JSON for programs."""

from __future__ import annotations

import json
from itertools import starmap

from tenants.doctor.examination import Report
from tenants.doctor.findings import Finding

_HEADING = ("CHECK", "WHERE", "FINDING", "WHAT TO DO")


def table(report: Report) -> str:
    """Return the findings as a table, breaches first, and a line that sums them up."""
    rows = [_HEADING, *map(_row, sorted(report.findings, key=lambda finding: finding.level))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADING) - 1)]
    lines = ["  ".join([*starmap(str.ljust, zip(row, widths, strict=False)), row[-1]]).rstrip() for row in rows]
    return "\n".join([*(lines if report.findings else []), summary(report)])


def summary(report: Report) -> str:
    """Return in a line what was examined and found."""
    notes = len(report.findings) - len(report.breaches)
    found = [
        f"{_count(len(report.breaches), 'breach', 'breaches')}",
        *([_count(notes, "note", "notes")] if notes else []),
    ]
    return f"Examined the shared part and {_count(report.tenants, 'tenant', 'tenants')}: {', '.join(found)}."


def as_json(report: Report) -> str:
    """Return the report as JSON: {"ok", "tenants", "findings": [{"id", "level", "tenant", "where", ...}]}."""
    document = {
        "ok": not report.breaches,
        "tenants": report.tenants,
        "findings": [
            {
                "id": each.id,
                "level": each.level,
                "tenant": each.tenant,
                "where": each.where,
                "object": each.object,
                "finding": each.found,
                "advice": each.advice,
            }
            for each in report.findings
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=2)


def _row(finding: Finding) -> tuple[str, str, str, str]:
    name = finding.id if finding.level == "breach" else f"({finding.id})"
    return name, finding.where, _short(f"{finding.object}: {finding.found}".removesuffix(": ")), finding.advice


def _short(text: str, limit: int = 110) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _count(number: int, one: str, many: str) -> str:
    return f"{number or 'no'} {one if number == 1 else many}"
