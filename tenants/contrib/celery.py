"""Celery: a task acts in the name of whoever enqueued it, in a unit of work of its own.

`app = Celery("host", task_cls="tenants.contrib.celery:UnitTask")`, and nothing else.
"""

from __future__ import annotations

from typing import Any

from celery import Task

from tenants.carrying import go_on, ticket
from tenants.context import Actor, program

HEADER = "daybook"
# Who acts where nobody enqueued the task: the schedule.
BEAT = Actor("system", "beat", "beat")


class UnitTask(Task):  # type: ignore[misc]
    """A task whose body is one unit of work: an exception rolls it back.

    One that was enqueued outside any scope, by the schedule say, opens its own: `tenant_scope(..., actor=BEAT)`.
    """

    def apply_async(self, *args: Any, **options: Any) -> Any:
        """Enqueue the task with the ticket of the open scope."""
        carried = ticket()
        if carried is not None:
            options["headers"] = {**(options.get("headers") or {}), HEADER: carried}
        return super().apply_async(*args, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body; in the enqueuer's name, if there is one."""
        carried = (self.request.headers or {}).get(HEADER) or getattr(self.request, HEADER, None)
        if carried:
            with go_on(carried, name=f"celery {self.name}"):
                return super().__call__(*args, **kwargs)
        running = program.set(f"celery {self.name}")
        try:
            return super().__call__(*args, **kwargs)
        finally:
            program.reset(running)
