"""The guards of all trails, and the platform's own trail."""

from django.db import migrations

import audit.sql
import subscriptions.sql
from audit.integrity.positions import BLOCK
from tenants.sql import load

AUDIT = audit.sql.__path__[0]
NAMES = {"table": "platform_log", "agents": "platform_user_agent"}


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0001_initial"), ("tenants", "0002_walls")]
    operations = [
        migrations.RunSQL(load(AUDIT, "guards.sql"), migrations.RunSQL.noop),
        migrations.RunSQL(load(AUDIT, "sequence.sql", block=str(BLOCK)), migrations.RunSQL.noop),
        migrations.RunSQL(load(AUDIT, "due.sql"), migrations.RunSQL.noop),
        migrations.RunSQL(load(AUDIT, "capture.sql"), migrations.RunSQL.noop),
        migrations.RunSQL(load(AUDIT, "agent.sql", agents="audit_user_agent"), migrations.RunSQL.noop),
        migrations.RunSQL(load(AUDIT, "agent.sql", agents="platform_user_agent"), migrations.RunSQL.noop),
        migrations.RunSQL(load(AUDIT, "trail.sql", tenant_column="tenant_id uuid,", **NAMES), migrations.RunSQL.noop),
        migrations.RunSQL(load(subscriptions.sql.__path__[0], "walls.sql"), migrations.RunSQL.noop),
        migrations.RunSQL(load(subscriptions.sql.__path__[0], "limits.sql"), migrations.RunSQL.noop),
    ]
