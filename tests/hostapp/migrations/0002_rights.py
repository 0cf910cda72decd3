"""What the role of a tenant may do with the host's tables: nothing, until a migration says so."""

from django.db import migrations

_TABLES = (
    "'hostapp_chosen', 'hostapp_counter', 'hostapp_employment', 'hostapp_member', 'hostapp_organization', "
    "'hostapp_organization_partners', 'hostapp_organization_tags', 'hostapp_place', 'hostapp_restaurant', "
    "'hostapp_sample', 'hostapp_seat', 'hostapp_tag', 'hostapp_untold', 'hostapp_webhooklog', "
    "'hostapp_webhookprovider', 'authtoken_token'"
)


class Migration(migrations.Migration):
    dependencies = [("hostapp", "0001_initial"), ("authtoken", "0004_alter_tokenproxy_options")]
    operations = [
        migrations.RunSQL(f"CALL guard.allow('SELECT, INSERT, UPDATE, DELETE', {_TABLES})", migrations.RunSQL.noop)
    ]
