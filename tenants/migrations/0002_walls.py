"""Row-level security of the shared tables, and the gate."""

from django.db import migrations

from tenants import sql
from tenants.sql import load

FOLDER = sql.__path__[0]


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]
    operations = [
        migrations.RunSQL(load(FOLDER, "walls.sql"), migrations.RunSQL.noop),
        migrations.RunSQL(load(FOLDER, "gate.sql"), migrations.RunSQL.noop),
        migrations.RunSQL(load(FOLDER, "people.sql"), migrations.RunSQL.noop),
    ]
