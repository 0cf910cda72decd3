"""A database as PostgreSQL has it: what `tenants harden` takes from everybody is given back. For controls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections
from django.db.backends.postgresql.base import Cursor
from world import World

# The system's functions and catalogs are PUBLIC's, but those that initdb itself takes away (pg_init_privs).
_LOOSE = """
DO $$
DECLARE
  given text;
BEGIN
  FOR given IN
    SELECT format('EXECUTE ON FUNCTION %s', p.oid::regprocedure) FROM pg_proc AS p
     WHERE p.proacl IS NOT NULL AND p.prokind = 'f' AND p.pronamespace <> 'guard'::regnamespace
       AND (p.pronamespace = 'pg_catalog'::regnamespace
            OR EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e'))
       AND NOT EXISTS (SELECT FROM pg_init_privs AS i WHERE i.objoid = p.oid AND i.classoid = 'pg_proc'::regclass)
    UNION ALL
    SELECT format('%s ON TABLE pg_catalog.%I', string_agg(DISTINCT x.privilege_type, ', '), c.relname)
      FROM pg_class AS c JOIN pg_init_privs AS i ON i.objoid = c.oid AND i.classoid = 'pg_class'::regclass
     CROSS JOIN aclexplode(i.initprivs) AS x
     WHERE i.objsubid = 0 AND x.grantee = 0 AND c.relnamespace = 'pg_catalog'::regnamespace GROUP BY c.relname
  LOOP
    EXECUTE format('GRANT %s TO PUBLIC', given);
  END LOOP;
END $$;
GRANT USAGE ON SCHEMA information_schema TO PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC;
"""


def loosen(world: World) -> None:
    """Give everybody what PostgreSQL gives to everybody."""
    world.sql(_LOOSE)


@contextmanager
def plain_cursor() -> Iterator[None]:
    """Let units of work use Django's own cursor, which sends several statements in one message."""
    connection = connections["default"]
    connection.ensure_connection()
    connection.close()
    kept = type(connection).get_connection_params

    def plain(self: object) -> dict[str, object]:
        return {**kept(self), "cursor_factory": Cursor}  # type: ignore[arg-type]

    connection.close_pool()  # type: ignore[attr-defined]
    type(connection).get_connection_params = plain  # type: ignore[method-assign]
    try:
        yield
    finally:
        type(connection).get_connection_params = kept  # type: ignore[method-assign]
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]
