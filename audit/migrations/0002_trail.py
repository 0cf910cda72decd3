"""The tables of a tenant's schema."""

from django.db import migrations

import audit.sql
from tenants.sql import load

FOLDER = audit.sql.__path__[0]
NAMES = {"table": "audit_log", "agents": "audit_user_agent", "tenant_column": ""}


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [
        migrations.RunSQL(load(FOLDER, "trail.sql", **NAMES), migrations.RunSQL.noop),
        migrations.RunSQL(load(FOLDER, "usage.sql"), migrations.RunSQL.noop),
        migrations.RunSQL(load(FOLDER, "answer.sql"), migrations.RunSQL.noop),
        migrations.RunSQL(load(FOLDER, "catalogue.sql"), migrations.RunSQL.noop),
        migrations.RunSQL(load(FOLDER, "exports.sql"), migrations.RunSQL.noop),
        migrations.RunSQL(load(FOLDER, "rights.sql"), migrations.RunSQL.noop),
    ]
