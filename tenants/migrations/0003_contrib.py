"""Walls of Django's own shared tables."""

from django.db import migrations

from tenants import sql
from tenants.sql import load


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0002_walls"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunSQL(load(sql.__path__[0], "contrib.sql"), migrations.RunSQL.noop)]
