"""Mails leave after the commit, by a thread of their own.

So a request neither waits for the mail server nor tells by how long it took whether there was anybody to write to.

A mail that is under way when the process ends is lost; whoever waits for it asks for another.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import structlog
from django.core.mail import EmailMessage
from django.db import transaction

log = structlog.get_logger("daybook.mail")
_senders = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mail")


def send_after_commit(message: EmailMessage) -> None:
    """Send a message once the open unit of work is committed; what keeps it from being sent is logged."""
    transaction.on_commit(lambda: _senders.submit(_send, message))


def wait() -> None:
    """Wait until what was handed over so far is sent."""
    done: Future[None] = _senders.submit(lambda: None)
    done.result()


def _send(message: EmailMessage) -> None:
    try:
        message.send()
    except OSError as error:
        log.warning("mail_not_sent", error=str(error))
