"""Row changes become entries in the database itself, whoever makes them, in the transaction that makes them.

registry      `@audited` and `register`: what is declared of which model
spec, body    what that means for one table, and the text of its trigger function (pure)
operation     the migration's operation that installs it
detection     what `makemigrations` adds, and the check that nothing is missing
installed     what stands in the schemas of all tenants, beside what migrations say
pause         `capture_paused`: to change rows without entries, which is an entry
"""

from audit.capture.pause import capture_paused
from audit.capture.registry import audited, register

__all__ = ["audited", "capture_paused", "register"]
