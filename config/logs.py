"""JSON log lines by structlog, with the tenant, actor and request id of the scope they were written in."""

from __future__ import annotations

import logging
import logging.config
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class PoolTrouble(logging.Filter):
    """Drops the pool's line for each attempt to connect, and keeps why the last one failed.

    Whoever waits for a connection in vain logs one line, with that reason (`problems`).
    """

    reason = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let through what is not about an attempt to connect."""
        if not str(record.msg).startswith("error connecting"):
            return True
        PoolTrouble.reason = " ".join(record.getMessage().partition(": ")[2].split())
        return False


def add_scope(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add `tenant` (slug), `actor` (type:id) and `request_id` of the open scope."""
    from tenants.context import scope_or_none  # noqa: PLC0415 - settings configure logs before Django is up

    if scope := scope_or_none():
        event.setdefault("tenant", scope.tenant.slug if scope.tenant else None)
        event.setdefault("actor", f"{scope.actor.type}:{scope.actor.id}")
        if scope.origin.request_id:
            event.setdefault("request_id", scope.origin.request_id)
    return event


def configure(*, level: str) -> dict[str, Any]:
    """Configure structlog and the standard library's logging to a level of LEVELS; return the latter's settings."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_scope,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=False,
    )
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
        "foreign_pre_chain": shared,
    }
    settings = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": formatter},
        "filters": {"pool_trouble": {"()": PoolTrouble}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        # Refusals are answered, and recorded where a trail is; they are no errors of the server.
        "loggers": {
            "django.request": {"level": "CRITICAL"},
            "django.security": {"level": "CRITICAL"},
            "psycopg": {"level": max(logging.WARNING, logging.getLevelName(level))},
            "psycopg.pool": {"filters": ["pool_trouble"]},
        },
    }
    logging.config.dictConfig(settings)
    return settings
