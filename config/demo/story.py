"""What happens in a company in four weeks: a few hundred varied events, as its own application would report them.

Pure and repeatable: the same company and the same `now` give the same events. Weekends are quiet, so the day of the
week decides which, and how many. They come as JSON for `POST /audit-logs`, a week at a time, each week ending with its
report (resource type `weekly_report`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

WEEKS = 4
REPORT = "weekly_report"
_A_DAY = range(14, 23)  # events
_WORK = (7.5, 18.5)  # hours of the day, UTC
_REPORT = timedelta(hours=6)  # of the day after
_FRIDAY = 4

_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
)
_CUSTOMERS = ("Initech", "Hooli", "Umbrella", "Wonka", "Stark", "Wayne", "Cyberdyne", "Tyrell")
_PLACES = ("Berlin", "Lisbon", "Oslo", "Austin")

Event = dict[str, Any]


def week(slug: str, people: Mapping[str, str], number: int, now: datetime) -> list[Event]:
    """Return the events of week `number` (0 is the oldest, WEEKS - 1 ended last night), in order of time.

    `people` are the ids of the company's people by name.
    """
    rng = random.Random(f"{slug}:{number}")  # noqa: S311 - a story, not a secret
    company = _Company(slug, people, rng)
    begin = now - timedelta(weeks=WEEKS - number)
    events: list[Event] = []
    for day in range(7):
        date = begin + timedelta(days=day)
        quiet = date.weekday() > _FRIDAY
        count = rng.randrange(2) if quiet else rng.choice(_A_DAY)
        events += [company.event(_moment(rng, date)) for _ in range(count)]
    events.sort(key=lambda event: str(event["occurred_at"]))
    return [*events, company.report(number, min(now, _midnight(begin + timedelta(weeks=1)) + _REPORT))]


def _moment(rng: random.Random, date: datetime) -> str:
    """Return a moment of that day's working hours."""
    return _text(_midnight(date) + timedelta(hours=rng.uniform(*_WORK)))


def _midnight(date: datetime) -> datetime:
    return date.replace(hour=0, minute=0, second=0, microsecond=0)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class _Company:
    """One company's people and things, and the events that they make."""

    def __init__(self, slug: str, people: Mapping[str, str], rng: random.Random) -> None:
        self.slug, self.people, self.rng = slug, people, rng
        self.names = list(people)
        self.makers: dict[Callable[[], Event], int] = {
            self._signed_in: 22,
            self._sign_in_failed: 5,
            self._document: 20,
            self._invoice: 14,
            self._role: 5,
            self._export: 6,
            self._customer: 12,
            self._deployed: 8,
            self._webhook: 4,
            self._backup: 4,
        }

    def event(self, occurred_at: str) -> Event:
        """Return one event of a kind chosen by weight."""
        maker = self.rng.choices(list(self.makers), list(self.makers.values()))[0]
        return {"outcome": "success", **maker(), "occurred_at": occurred_at}

    def report(self, number: int, occurred_at: datetime) -> Event:
        """Return the event that ends a week."""
        week = f"week-{number + 1}"
        resource = {"type": REPORT, "id": week, "label": f"Week {number + 1}"}
        return {
            **self._system("reports"),
            "action": "report.sent",
            "resource": resource,
            "outcome": "success",
            "occurred_at": _text(occurred_at),
            "metadata": {"recipients": len(self.people)},
        }

    def _person(self) -> Event:
        """Return a person as actor, at his own address and browser most of the time."""
        name = self.rng.choice(self.names)
        seat = self.names.index(name) + 10
        away = self.rng.random() < 0.1  # noqa: PLR2004
        net = "203.0.113" if self.slug == "acme" else "198.51.100"
        context = {
            "ip": f"192.0.2.{self.rng.randrange(1, 255)}" if away else f"{net}.{seat}",
            "user_agent": self.rng.choice(_AGENTS) if away else _AGENTS[seat % len(_AGENTS)],
        }
        label = f"{name}@{self.slug}.example"
        return {"actor": {"type": "user", "id": self.people[name], "label": label}, "context": context}

    def _system(self, name: str) -> Event:
        return {"actor": {"type": "system", "id": name, "label": name.title()}}

    def _number(self, first: int, count: int) -> str:
        return str(first + self.rng.randrange(count))

    def _signed_in(self) -> Event:
        who = self._person()
        method = self.rng.choice(["password", "password", "sso", "passkey"])
        return {**who, "action": "user.signed_in", "resource": who["actor"], "metadata": {"method": method}}

    def _sign_in_failed(self) -> Event:
        who = self._person()
        actor = {"type": "anonymous", "id": "anonymous"}
        return {
            **who,
            "actor": actor,
            "action": "user.sign_in",
            "outcome": "failure",
            "resource": who["actor"],
            "description": self.rng.choice(["wrong password", "wrong password", "unknown device"]),
        }

    def _document(self) -> Event:
        key = self._number(100, 40)
        verb = self.rng.choices(["viewed", "updated", "created", "deleted"], [45, 35, 15, 5])[0]
        event = {
            **self._person(),
            "action": f"document.{verb}",
            "resource": {"type": "document", "id": key, "label": f"Proposal {key}"},
        }
        if verb == "updated":
            version = self.rng.randrange(1, 20)
            event["changes"] = {
                "version": {"old": version, "new": version + 1},
                "title": {"old": f"Proposal {key}", "new": f"Proposal {key}, revised"},
            }
        return event

    def _invoice(self) -> Event:
        key, customer = self._number(2026001, 60), self.rng.choice(_CUSTOMERS)
        verb = self.rng.choice(["created", "sent", "paid"])
        actor = self._system("billing") if verb == "paid" else self._person()
        status = {"created": ("", "draft"), "sent": ("draft", "open"), "paid": ("open", "paid")}[verb]
        return {
            **actor,
            "action": f"invoice.{verb}",
            "resource": {"type": "invoice", "id": key, "label": f"{customer} {key}"},
            "changes": {"status": {"old": status[0] or None, "new": status[1]}},
            "metadata": {"amount": f"{self.rng.randrange(50, 9000)}.00", "currency": "EUR"},
        }

    def _role(self) -> Event:
        who, other = self._person(), self._person()["actor"]
        denied = self.rng.random() < 0.3  # noqa: PLR2004
        event = {
            **who,
            "action": "role.changed",
            "resource": other,
            "outcome": "denied" if denied else "success",
            "changes": {"role": {"old": "editor", "new": "administrator"}},
        }
        return {**event, "description": "only an owner may appoint administrators"} if denied else event

    def _export(self) -> Event:
        name = self.rng.choice(["customers", "invoices", "documents"])
        denied = self.rng.random() < 0.2  # noqa: PLR2004
        return {
            **self._person(),
            "action": "export.downloaded",
            "outcome": "denied" if denied else "success",
            "resource": {"type": "export", "id": name, "label": f"{name}.csv"},
            "metadata": {"rows": 0 if denied else self.rng.randrange(20, 4000)},
        }

    def _customer(self) -> Event:
        name = self.rng.choice(_CUSTOMERS)
        old, new = self.rng.sample(_PLACES, 2)
        return {
            **self._person(),
            "action": "customer.updated",
            "changes": {"city": {"old": old, "new": new}},
            "resource": {"type": "customer", "id": name.lower(), "label": name},
        }

    def _deployed(self) -> Event:
        failed = self.rng.random() < 0.15  # noqa: PLR2004
        return {
            "actor": {"type": "api_key", "id": "ci", "label": "CI"},
            "action": "release.deployed",
            "outcome": "failure" if failed else "success",
            "context": {"ip": "192.0.2.200", "user_agent": "deploy/3.2"},
            "resource": {"type": "release", "id": f"1.{self._number(10, 30)}.0", "label": "web shop"},
            "description": "health check timed out, rolled back" if failed else "",
        }

    def _webhook(self) -> Event:
        active = self.rng.random() < 0.5  # noqa: PLR2004
        return {
            **self._person(),
            "action": "webhook.enabled" if active else "webhook.disabled",
            "resource": {"type": "webhook", "id": self._number(1, 5), "label": "order notifications"},
            "changes": {"active": {"old": not active, "new": active}},
        }

    def _backup(self) -> Event:
        return {
            **self._system("backup"),
            "action": "backup.completed",
            "metadata": {"seconds": self.rng.randrange(20, 90)},
            "resource": {"type": "database", "id": "main", "label": "main"},
        }
