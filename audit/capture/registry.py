"""Which models are captured, and how: declared on the model, or for a model of somebody else's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models

from audit.capture.spec import LINK_VERBS, OPERATIONS, VERBS, Column, Kind, Spec

Model = TypeVar("Model", bound=type[models.Model])

# What is named like this is told as masked, unless it is asked for by name.
_SECRET = re.compile(
    r"(^|_)(passwords?|passwd|passphrase|pwd|pin|otp|secrets?|tokens?|digest|recovery_codes?"
    r"|(private|secret|signing|api|access)_key)(_hash)?$|(^|_)key_hash$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """How one model is captured: the arguments of `audited`."""

    fields: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()
    mask: frozenset[str] = frozenset()
    personal: frozenset[str] = frozenset()
    internal: frozenset[str] = frozenset()
    resource_type: str | None = None
    resource_id: str | None = None
    label: str | None = None
    verbs: Mapping[str, str] = field(default_factory=dict)
    tenant: str | None = None
    person: str | None = None
    # The application whose migrations hold the triggers: the model's own, or that of whoever registers it.
    app: str | None = None

    @property
    def named(self) -> frozenset[str]:
        """All fields that it names of which there must be a column."""
        ids = {name for name in (self.resource_id, self.label, self.tenant, self.person) if name}
        return self.mask | self.personal | self.internal | ids

    @property
    def chosen(self) -> frozenset[str]:
        """All fields that it names to be told, or not to be; many-to-many fields among them."""
        return (self.fields or frozenset()) | self.exclude


_declared: dict[type[models.Model], Declaration] = {}


def audited(**options: Any) -> Callable[[Model], Model]:
    """Declare, on a model, that each change of its rows becomes an entry. For the options see `register`."""

    def declare(model: Model) -> Model:
        register(model, **options)
        return model

    return declare


def register(
    model: type[models.Model],
    *,
    fields: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    mask: Iterable[str] = (),
    personal: Iterable[str] = (),
    internal: Iterable[str] = (),
    resource_type: str | None = None,
    resource_id: str | None = None,
    label: str | None = None,
    verbs: Mapping[str, str] | None = None,
    tenant: str | None = None,
    person: str | None = None,
    app: str | None = None,
) -> None:
    """Capture a model of another package's. Afterwards run `makemigrations`: triggers come by migrations.

    `fields` (default: all) or `exclude` say which fields are told, many-to-many fields too; `mask`: it is told that
    they changed, and nothing of their values (what is named like a password, a token or a digest is masked unless
    `fields` names it); `personal`: their values can be erased later. `resource_type` is the model's name in snake case
    and `resource_id` its primary key, unless said otherwise; `label` is the field that says for people which one it
    is. `verbs` maps create, update and delete to actions (default: created, updated, deleted).

    A model of a tenant application goes to its tenant's trail. One of the shared applications goes to the platform
    log, and also to the trail of the tenant whose id the field `tenant` holds, or of the tenants of the person whose
    id the field `person` holds; of the fields `internal` they learn nothing. `app` is the label of the application
    whose migrations install it: whoever registers a package's model names his own, since that package's migrations
    are not his to add to.
    Raises ImproperlyConfigured, also later when the options do not fit the model.
    """
    concrete: type[models.Model] = model._meta.concrete_model or model  # noqa: SLF001
    if model._meta.abstract or concrete in _declared:  # noqa: SLF001
        raise ImproperlyConfigured(f"{model.__name__} is abstract, or captured already: it can be declared once.")
    if unknown := set(verbs or {}) - set(OPERATIONS):
        raise ImproperlyConfigured(f"verbs of {model.__name__}: {sorted(unknown)} is none of {', '.join(OPERATIONS)}.")
    _declared[concrete] = Declaration(
        fields=None if fields is None else frozenset(fields),
        exclude=frozenset(exclude),
        mask=frozenset(mask),
        personal=frozenset(personal),
        internal=frozenset(internal),
        resource_type=resource_type,
        resource_id=resource_id,
        label=label,
        verbs={**VERBS, **(verbs or {})},
        tenant=tenant,
        person=person,
        app=app,
    )


def declared() -> dict[str, dict[str, Spec]]:
    """Return what is captured: by the label of the application whose migrations hold it, then by table."""
    found: dict[str, dict[str, Spec]] = {}
    for model, declaration in _declared.items():
        own = found.setdefault(declaration.app or model._meta.app_label, {})  # noqa: SLF001
        own |= {spec.table: spec for spec in (spec_of(model), *_links(model, declaration))}
    return found


def spec_of(model: type[models.Model]) -> Spec:
    """Return what the declaration of a model (or of the one that it is a proxy for) means for its table.

    Raises ImproperlyConfigured.
    """
    concrete: type[models.Model] = model._meta.concrete_model or model  # noqa: SLF001
    if concrete not in _declared:
        raise ImproperlyConfigured(f"{model.__name__} is not captured: declare it with @audited or audit.register.")
    declaration, meta = _declared[concrete], concrete._meta  # noqa: SLF001
    _check(concrete, declaration)
    shared = is_shared(concrete)
    return Spec(
        table=meta.db_table,
        resource_type=resource_type_of(concrete),
        key=tuple(_column(each, declaration) for each in _key(concrete, declaration)),
        columns=tuple(_column(each, declaration) for each in _told(concrete, declaration)),
        label=_attname(concrete, declaration.label),
        verbs=declaration.verbs,
        shared=shared,
        tenant=_attname(concrete, declaration.tenant),
        person=_attname(concrete, declaration.person),
    )


def resource_type_of(model: type[models.Model]) -> str:
    """Return the resource type of a model's entries: that of its declaration, else its name in snake case."""
    concrete: type[models.Model] = model._meta.concrete_model or model  # noqa: SLF001
    declaration = _declared.get(concrete)
    if declaration and declaration.resource_type:
        return declaration.resource_type
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", concrete.__name__).lower()


def is_shared(model: type[models.Model]) -> bool:
    """Tell whether a model's table stands in the shared schema."""
    config = model._meta.app_config  # noqa: SLF001
    return config is None or not {config.name, config.label} & set(settings.TENANT_APPS)


def _check(model: type[models.Model], declaration: Declaration) -> None:
    # Of its own table alone: what stands in a parent's is told by the parent.
    columns = {each.name for each in model._meta.local_concrete_fields}  # noqa: SLF001
    links = {each.name for each in model._meta.local_many_to_many}  # noqa: SLF001
    if unknown := sorted((declaration.named - columns) | (declaration.chosen - columns - links)):
        raise ImproperlyConfigured(f"@audited on {model.__name__} names fields that it has not: {', '.join(unknown)}.")
    if (declaration.tenant or declaration.person or declaration.internal) and not is_shared(model):
        raise ImproperlyConfigured(f"{model.__name__} is a tenant's: leave out `tenant`, `person` and `internal`.")
    if twice := sorted(declaration.internal & (declaration.mask | declaration.personal)):
        raise ImproperlyConfigured(f"{model.__name__}: {', '.join(twice)} can be `internal`, or masked or personal.")
    parents = [parent for parent in model._meta.parents if parent not in _declared]  # noqa: SLF001
    if parents:
        names = ", ".join(parent.__name__ for parent in parents)
        raise ImproperlyConfigured(f"Fields of {model.__name__} stand in the table of {names}: capture that as well.")
    _check_identity(model, declaration)


def _check_identity(model: type[models.Model], declaration: Declaration) -> None:
    """Refuse what would make each write fail, or show in each entry what is masked."""
    keys = _key(model, declaration)
    if missing := [each.name for each in keys if each.null]:
        raise ImproperlyConfigured(f"{model.__name__}.{missing[0]} may be null: it cannot be the `resource_id`.")
    shown = [each.name for each in keys] + ([declaration.label] if declaration.label else [])
    if secret := [name for name in shown if _kind(name, declaration) is Kind.MASKED]:
        raise ImproperlyConfigured(
            f"{model.__name__}.{secret[0]} is masked, and would stand in each entry: choose another `resource_id` or "
            "`label`."
        )


def _key(model: type[models.Model], declaration: Declaration) -> list[models.Field[Any, Any]]:
    if declaration.resource_id:
        return [_field(model, declaration.resource_id)]
    return list(model._meta.pk_fields)  # noqa: SLF001


def _told(model: type[models.Model], declaration: Declaration) -> Iterator[models.Field[Any, Any]]:
    """Yield the fields that have a column of their own and are told."""
    keys = {each.name for each in model._meta.pk_fields}  # noqa: SLF001
    for each in model._meta.local_concrete_fields:  # noqa: SLF001
        virtual = getattr(each, "generated", False) and not getattr(each, "db_persist", True)
        asked = declaration.fields is None or each.name in declaration.fields or each.name in keys
        if each.column and asked and each.name not in declaration.exclude and not virtual:
            yield each


def _links(model: type[models.Model], declaration: Declaration) -> Iterator[Spec]:
    """Yield what is captured of the tables of links; one whose model is captured itself tells for itself."""
    for each in model._meta.local_many_to_many:  # noqa: SLF001
        through = each.remote_field.through
        told = declaration.fields is None or each.name in declaration.fields
        if told and each.name not in declaration.exclude and through not in _declared:
            yield _link(model, each, through)


def _link(model: type[models.Model], many: Any, through: Any) -> Spec:
    near, far = through._meta.get_field(many.m2m_field_name()), through._meta.get_field(many.m2m_reverse_field_name())  # noqa: SLF001
    if near.null or far.null:
        raise ImproperlyConfigured(
            f"A {through.__name__} may link to nothing: declare it with @audited, or exclude {many.name} of "
            f"{model.__name__}."
        )
    extra = [
        _column(each, Declaration())
        for each in through._meta.local_concrete_fields  # noqa: SLF001
        if each.column and not each.primary_key and each not in {near, far}
    ]
    target = many.remote_field.model
    return Spec(
        table=through._meta.db_table,  # noqa: SLF001
        resource_type=resource_type_of(model),
        key=(_column(near, Declaration()),),
        columns=(Column(many.name, far.column, _type(far)), *extra),
        far=(resource_type_of(target), far.column),
        verbs=LINK_VERBS,
        shared=is_shared(through),
    )


def _column(each: models.Field[Any, Any], declaration: Declaration) -> Column:
    return Column(each.name, str(each.column), _type(each), _kind(each.name, declaration))


def _kind(name: str, declaration: Declaration) -> Kind:
    asked = declaration.fields is not None and name in declaration.fields
    if name in declaration.mask or (_SECRET.search(name) and not asked and name not in declaration.personal):
        return Kind.MASKED
    if name in declaration.internal:
        return Kind.INTERNAL
    return Kind.PERSONAL if name in declaration.personal else Kind.PLAIN


def _type(each: models.Field[Any, Any]) -> str:
    """Return the type of a column without lengths: a longer text is told in the same way."""
    return re.sub(r"\([^)]*\)", "", str(each.db_type(connections["default"])))


def _field(model: type[models.Model], name: str) -> models.Field[Any, Any]:
    found: models.Field[Any, Any] = model._meta.get_field(name)  # type: ignore[assignment]  # noqa: SLF001
    return found


def _attname(model: type[models.Model], name: str | None) -> str | None:
    return str(_field(model, name).column) if name else None


def is_captured(model: type[models.Model]) -> bool:
    """Tell whether changes of a model's rows are captured."""
    return (model._meta.concrete_model or model) in _declared  # noqa: SLF001


def captured_models() -> list[type[models.Model]]:
    """Return the models that are captured."""
    return [model for model in apps.get_models(include_auto_created=True) if model in _declared]
