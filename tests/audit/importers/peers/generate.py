"""Makes the lines in this folder, by really using the packages whose history can be imported.

They were made with Django 5.2.19, django-auditlog 3.4.1, django-simple-history 3.13.0 and django-pghistory 3.9.2
on PostgreSQL 18. To make them again, in a virtual environment of its own and with an empty database:

    pip install Django==5.2.19 django-auditlog==3.4.1 django-simple-history==3.13.0 django-pghistory==3.9.2 psycopg
    python generate.py "dbname=peers"
"""

# mypy: ignore-errors
from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import django
from django.conf import settings
from django.core.management import call_command
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.urls import path
from psycopg.conninfo import conninfo_to_dict

HERE = Path(__file__).parent
DUMPS = {
    "auditlog": ["contenttypes.ContentType", "auditlog.LogEntry"],
    "simple_history": [
        "shop.HistoricalWebhookProvider",
        "shop.HistoricalWebhookProvider_tags",
        "shop.HistoricalOrder",
        "shop.PastTaxZone",
    ],
    "pghistory": ["shop.WebhookProviderEvent", "shop.OrderEvent", "shop.TaxZoneNameRateEvent", "pghistory.Context"],
}
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "auditlog.middleware.AuditlogMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "pghistory.middleware.HistoryMiddleware",
]


def sell(request: HttpRequest) -> HttpResponse:
    """Create and change things, as a request of whoever is signed in."""
    from shop.models import Order, Tag, TaxZone, WebhookProvider

    north, south = Tag.objects.create(name="north"), Tag.objects.create(name="south")
    stripe = WebhookProvider.objects.create(
        name="Stripe", url="https://hooks.example/stripe", secret="whsec_0123456789", owner=request.user
    )
    stripe.tags.add(north, south)
    stripe.tags.remove(north)
    stripe.secret, stripe.retries, stripe.options = "whsec_9876543210", 5, {"events": ["paid"], "strict": True}
    stripe._change_reason = "rotated after the incident"
    stripe.save()
    order = Order.objects.create(total="19.90", provider=stripe)
    order.paid_at = datetime(2026, 2, 1, 12, 30, 0, 123456, tzinfo=UTC)
    order.save()
    zone = TaxZone.objects.create(code="DE", name="Germany", rate=0.19)
    zone.rate = 0.16
    zone.save()
    return HttpResponse()


def pay(request: HttpRequest) -> HttpResponse:
    """Tell by hand that something happened, and look at it."""
    import pghistory
    from auditlog.signals import accessed
    from shop.models import Order

    order = Order.objects.get()
    with pghistory.context(ip_address="203.0.113.7", reason="webhook"):
        pghistory.create_event(order, label="order.paid")
    accessed.send(Order, instance=order)
    return HttpResponse()


urlpatterns = [path("sell/", sell), path("pay/", pay)]


def play() -> None:
    """Let a person act, then nobody in particular."""
    from django.contrib.auth.models import User
    from django.test import Client
    from shop.models import Order, TaxZone, WebhookProvider

    alice = User.objects.create_user("alice", "alice@acme.example")
    client = Client(REMOTE_ADDR="203.0.113.7")
    client.force_login(alice)
    client.post("/sell/", headers={"X-Correlation-ID": "c-0001", "X-Forwarded-Port": "8443"})
    client.post("/pay/", headers={"X-Correlation-ID": "c-0002", "X-Forwarded-For": "2001:db8::7"})
    WebhookProvider.objects.update(retries=9)  # of the three, only triggers see this
    WebhookProvider.objects.get().delete()
    Order.objects.get().delete()
    zone = TaxZone.objects.get()
    zone.name = "Allemagne, été 🌞"
    zone.save()
    settings.AUDITLOG_STORE_JSON_CHANGES = True
    TaxZone.objects.create(code="FR", name="France", rate=0.2)
    TaxZone.objects.filter(code="FR").update(rate=0.055)
    TaxZone.objects.get(code="FR").delete()


def tracked(model: type[Model]) -> type[Model]:
    """Return the model whose history another model keeps, or the model itself."""
    return getattr(model, "pgh_tracked_model", None) or getattr(model, "instance_type", None) or model


def names() -> dict[str, list[str]]:
    """Return what dumps call the models, and what the project does: class and primary key."""
    from django.apps import apps

    return {m._meta.label_lower: [tracked(m)._meta.label, tracked(m)._meta.pk.name] for m in apps.get_models()}


def connection(database: str) -> dict[str, str]:
    """Return Django's words for a connection that is said as libpq says it."""
    said = conninfo_to_dict(database)
    keys = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    return {key: said.get(word, "") for key, word in keys.items()}


def dump(name: str, *models: str, **options: bool) -> None:
    """Write what `manage.py dumpdata` prints into a file of this folder."""
    call_command("dumpdata", *models, format="jsonl", output=str(HERE / name), verbosity=0, **options)


def main(database: str) -> None:
    """Set a project up, use it, and write what `dumpdata` prints of it."""
    sys.path.insert(0, str(HERE))
    sys.modules.setdefault("generate", sys.modules["__main__"])
    settings.configure(
        SECRET_KEY="x", ALLOWED_HOSTS=["*"], USE_TZ=True, ROOT_URLCONF="generate", MIDDLEWARE=MIDDLEWARE,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", MIGRATION_MODULES={"shop": "shop_migrations"},
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        INSTALLED_APPS=[
            "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
            "auditlog", "simple_history", "pgtrigger", "pghistory", "shop",
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **connection(database)}},
    )  # fmt: skip
    django.setup()
    with TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        Path(folder, "shop_migrations").mkdir()
        Path(folder, "shop_migrations", "__init__.py").touch()
        call_command("makemigrations", "shop", verbosity=0)
        call_command("migrate", verbosity=0)
    play()
    for name, models in DUMPS.items():
        dump(f"{name}.jsonl", *models)
    dump("auditlog_natural.jsonl", "auditlog.LogEntry", use_natural_foreign_keys=True)
    (HERE / "models.json").write_text(json.dumps(names(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
