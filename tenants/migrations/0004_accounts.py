"""Those who come in: accounts of people, their walls and attempts; the identity providers of tenants."""

from django.db import migrations, models

from tenants import sql
from tenants.sql import load


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0003_contrib"),
        ("account", "0009_emailaddress_unique_primary_email"),
        ("mfa", "0003_authenticator_type_uniq"),
        ("usersessions", "0001_initial"),
    ]
    operations = [
        migrations.CreateModel(
            name="Attempt",
            fields=[
                ("key", models.TextField(primary_key=True, serialize=False)),
                ("value", models.JSONField()),
                ("expires_at", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.RunSQL(load(sql.__path__[0], "accounts.sql"), migrations.RunSQL.noop),
    ]
