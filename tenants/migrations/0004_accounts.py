"""Those who come in: accounts of people, their walls and attempts; the identity providers of tenants."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
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
        migrations.CreateModel(
            name="IdentityProvider",
            fields=[
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="tenants.tenant",
                    ),
                ),
                ("issuer", models.CharField(max_length=500)),
                ("audience", models.CharField(max_length=255)),
                (
                    "algorithms",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=10), size=None),
                ),
                ("role_claim", models.CharField(max_length=255)),
                ("roles", models.JSONField(default=dict)),
                ("default_role", models.CharField(blank=True, max_length=20)),
                (
                    "changed_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
            ],
        ),
        migrations.RunSQL(load(sql.__path__[0], "oidc.sql"), migrations.RunSQL.noop),
        migrations.RunSQL(load(sql.__path__[0], "accounts.sql"), migrations.RunSQL.noop),
    ]
