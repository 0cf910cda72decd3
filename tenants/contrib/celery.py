"""Celery: a task acts in the name of whoever enqueued it, in a unit of work of its own.

`app = Celery("host", task_cls="tenants.contrib.celery:UnitTask")`, and nothing else.
"""

from __future__ import annotations

from typing import Any

from celery import Task, current_task, signals

from tenants.carrying import Ticket, go_on, ticket
from tenants.context import Actor, program

HEADER = "daybook"
# Who acts where nobody enqueued the task: the schedule.
BEAT = Actor("system", "beat", "beat")


@signals.before_task_publish.connect  # type: ignore[untyped-decorator]
def give_ticket(headers: dict[str, Any] | None = None, **_more: object) -> None:
    """Give a task the ticket of the open scope; or, to the next one of a chain, that of the task that has just run."""
    carried = ticket() or (_carried(current_task) if current_task else None)
    if headers is not None and carried and HEADER not in headers:
        headers[HEADER] = carried


def _carried(task: Any) -> Ticket | None:
    found: Ticket | None = (task.request.headers or {}).get(HEADER) or getattr(task.request, HEADER, None)
    return found


class UnitTask(Task):  # type: ignore[misc]
    """A task whose body is one unit of work: an exception rolls it back.

    One that was enqueued outside any scope, by the schedule say, opens its own: `tenant_scope(..., actor=BEAT)`.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body; in the enqueuer's name, if there is one."""
        if carried := _carried(self):
            with go_on(carried, name=f"celery {self.name}"):
                return super().__call__(*args, **kwargs)
        running = program.set(f"celery {self.name}")
        try:
            return super().__call__(*args, **kwargs)
        finally:
            program.reset(running)
