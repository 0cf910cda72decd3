"""What a tenant may do with the tables: everything a project's own model allows."""

from django.db import migrations

ALLOW = "CALL guard.allow('SELECT, INSERT, UPDATE, DELETE', 'docs_author', 'docs_doc', 'docs_plain_doc')"


class Migration(migrations.Migration):
    dependencies = [("docs", "0001_initial")]
    operations = [migrations.RunSQL(ALLOW, migrations.RunSQL.noop)]
