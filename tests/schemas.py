"""What stands in a schema, by the catalogs: all that two tenants' schemas must have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from world import World

_RELATION = "(SELECT nspname = %(schema)s FROM pg_namespace WHERE oid = c.relnamespace)"
QUESTIONS = {
    "relations": f"""
        SELECT c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.reloptions, c.relpersistence,
               c.relispartition, pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid), a.amname,
               c.relreplident, obj_description(c.oid, 'pg_class')
          FROM pg_class c LEFT JOIN pg_am a ON a.oid = c.relam WHERE {_RELATION}""",
    "parents": f"""
        SELECT c.relname, p.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          JOIN pg_class p ON p.oid = i.inhparent WHERE {_RELATION}""",
    "owners": f"SELECT c.relname, pg_get_userbyid(c.relowner) FROM pg_class c WHERE {_RELATION}",
    "grants": f"""
        SELECT c.relname, coalesce(r.rolname, 'PUBLIC'), x.privilege_type, x.is_grantable
          FROM pg_class c CROSS JOIN aclexplode(c.relacl) x LEFT JOIN pg_roles r ON r.oid = x.grantee
         WHERE {_RELATION}""",
    "grants on columns": f"""
        SELECT c.relname, t.attname, r.rolname, x.privilege_type FROM pg_class c
          JOIN pg_attribute t ON t.attrelid = c.oid CROSS JOIN aclexplode(t.attacl) x
          LEFT JOIN pg_roles r ON r.oid = x.grantee WHERE {_RELATION}""",
    "columns": f"""
        SELECT c.relname, t.attnum, t.attname, format_type(t.atttypid, t.atttypmod), t.attnotnull, t.attidentity,
               t.attgenerated, t.attstorage, t.attcompression, t.attcollation::regcollation::text,
               pg_get_expr(d.adbin, d.adrelid)
          FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped
          LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = t.attnum WHERE {_RELATION}""",
    "indexes": f"""
        SELECT c.relname, i.relname, pg_get_indexdef(i.oid), x.indisunique, x.indisvalid, x.indisprimary,
               i.reloptions FROM pg_class c
          JOIN pg_index x ON x.indrelid = c.oid JOIN pg_class i ON i.oid = x.indexrelid WHERE {_RELATION}""",
    "constraints": f"""
        SELECT c.relname, k.conname, k.contype, k.convalidated, k.conenforced, pg_get_constraintdef(k.oid)
          FROM pg_class c JOIN pg_constraint k ON k.conrelid = c.oid WHERE {_RELATION}""",
    "triggers": f"""
        SELECT c.relname, g.tgname, g.tgenabled, pg_get_triggerdef(g.oid), g.tgparentid <> 0
          FROM pg_class c JOIN pg_trigger g ON g.tgrelid = c.oid WHERE {_RELATION}""",
    "policies": f"""
        SELECT c.relname, p.polname, p.polcmd, p.polpermissive, p.polroles::regrole[]::text,
               pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
          FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid WHERE {_RELATION}""",
    "functions": """
        SELECT p.proname, pg_get_functiondef(p.oid), pg_get_userbyid(p.proowner), p.proacl::text
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = %(schema)s""",
    "the schema": """
        SELECT pg_get_userbyid(n.nspowner), r.rolname, x.privilege_type FROM pg_namespace n
         CROSS JOIN aclexplode(n.nspacl) x JOIN pg_roles r ON r.oid = x.grantee WHERE n.nspname = %(schema)s""",
    "migrations": "SELECT app, name FROM {schema}.django_migrations",
}


def catalogs(world: World, slug: str, ask: Callable[[str], list[Any]] | None = None) -> dict[str, list[str]]:
    """Return what stands in a tenant's schema, by kind, with the tenant's own names replaced by `SCHEMA` and `ROLE`."""
    asked, (schema, role) = ask or world.sql, names(world, slug)

    def plain(row: Any) -> str:
        return repr(row).replace(schema, "SCHEMA").replace(role, "ROLE")

    def query(text: str) -> str:
        return text.replace("%(schema)s", f"'{schema}'").replace("{schema}", schema)

    return {kind: sorted(map(plain, asked(query(text)))) for kind, text in QUESTIONS.items()}


def names(world: World, slug: str) -> tuple[str, str]:
    """Return the names of a tenant's schema and role."""
    found = world.sql("SELECT schema_name, id FROM shared.tenants_tenant WHERE slug = %s", slug)[0]
    return found[0], f"daybook_t_{found[1].hex}"


def differences(one: dict[str, list[str]], other: dict[str, list[str]]) -> dict[str, set[str]]:
    """Return what stands in one of two schemas only, by kind."""
    found = {kind: set(one[kind]) ^ set(other[kind]) for kind in one}
    return {kind: rows for kind, rows in found.items() if rows}
