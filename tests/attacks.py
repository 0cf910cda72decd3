"""Commands that would alter, hide, forge or stop the entries of a trail, if they were not refused.

Each is a script of one message, so one transaction. {t} is the relation, {trail} the one that it is a partition of.
PostgreSQL lets the owner of a table run all of them: a control shows it.
"""

from __future__ import annotations

from dataclasses import dataclass

_ALL = frozenset({"trail", "part", "agents"})
_TRAILS = frozenset({"trail", "part"})
_WHOLE = frozenset({"trail", "agents"})
_LEAVES = frozenset({"part", "agents"})
_TRAIL, _PART, _AGENTS = frozenset({"trail"}), frozenset({"part"}), frozenset({"agents"})


@dataclass(frozen=True)
class Attack:
    """A script, and the kinds of relations that it can be tried on."""

    statement: str
    on: frozenset[str] = _ALL


_MINE = "CREATE FUNCTION {schema}.mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
_RANGE = "FOR VALUES FROM ('01000000-0000-7000-8000-000000000000') TO ('01000001-0000-7000-8000-000000000000')"

DDL: dict[str, Attack] = {
    "switch all triggers off": Attack("ALTER TABLE {t} DISABLE TRIGGER ALL"),
    "switch the guards off and update": Attack(
        "ALTER TABLE {t} DISABLE TRIGGER USER; UPDATE {t} SET {column} = {column}"
    ),
    "switch one guard off": Attack("ALTER TABLE {t} DISABLE TRIGGER refuse_change"),
    "let a guard fire for replicas only": Attack("ALTER TABLE {t} ENABLE REPLICA TRIGGER refuse_change"),
    "drop the guard and delete": Attack("DROP TRIGGER refuse_change ON {t}; DELETE FROM {t}", _WHOLE),
    "drop the guard of truncate": Attack("DROP TRIGGER refuse_truncate ON {t}"),
    "drop the guard of truncate and use it": Attack("DROP TRIGGER refuse_truncate ON {t}; TRUNCATE {t}", _LEAVES),
    "rename a guard": Attack("ALTER TRIGGER refuse_truncate ON {t} RENAME TO other"),
    "write by a change of type": Attack("ALTER TABLE {t} ALTER COLUMN {column} TYPE text USING 'forged'", _WHOLE),
    "drop a column": Attack("ALTER TABLE {t} DROP COLUMN {column}", _WHOLE),
    "add a column": Attack("ALTER TABLE {t} ADD COLUMN forged text DEFAULT 'x'", _WHOLE),
    "rename a column": Attack("ALTER TABLE {t} RENAME COLUMN {column} TO other", _WHOLE),
    "let a column be empty": Attack("ALTER TABLE {t} ALTER COLUMN id DROP IDENTITY", _AGENTS),
    "change a default": Attack("ALTER TABLE {t} ALTER COLUMN id SET DEFAULT gen_random_uuid()", _TRAILS),
    "drop the primary key": Attack("ALTER TABLE {t} DROP CONSTRAINT {name}_pkey", _WHOLE),
    "a constraint that no entry meets": Attack("ALTER TABLE {t} ADD CHECK (false) NOT VALID"),
    "rename a constraint": Attack("ALTER INDEX {t}_pkey RENAME TO other"),
    "a foreign key that deletes": Attack(
        "CREATE TABLE {schema}.mine (id uuid PRIMARY KEY); ALTER TABLE {t} "
        "ADD CONSTRAINT mine FOREIGN KEY (id) REFERENCES {schema}.mine ON DELETE CASCADE NOT VALID",
        _TRAILS,
    ),
    "detach a partition": Attack("ALTER TABLE {trail} DETACH PARTITION {t}", _PART),
    "attach a forged partition": Attack(
        "CREATE TABLE {schema}.mine (LIKE {t} INCLUDING ALL); ALTER TABLE {t} ATTACH PARTITION {schema}.mine " + _RANGE,
        _TRAIL,
    ),
    "a partition of one's own": Attack("CREATE TABLE {schema}.mine PARTITION OF {t} " + _RANGE, _TRAIL),
    "become another's partition": Attack(
        "CREATE TABLE {schema}.mine (LIKE {t} INCLUDING GENERATED) PARTITION BY RANGE (id); "
        "ALTER TABLE {schema}.mine ATTACH PARTITION {t} DEFAULT",
        _TRAIL,
    ),
    "a child with forged rows": Attack("CREATE TABLE {schema}.mine () INHERITS ({t})", _AGENTS),
    "become another's child": Attack(
        "CREATE TABLE {schema}.mine (LIKE {t}); ALTER TABLE {t} INHERIT {schema}.mine", _AGENTS
    ),
    "drop it": Attack("DROP TABLE {t} CASCADE"),
    "rename it and put another in its place": Attack(
        "ALTER TABLE {t} RENAME TO hidden; CREATE TABLE {t} (LIKE {schema}.hidden)"
    ),
    "move it away": Attack("CREATE SCHEMA mine; ALTER TABLE {t} SET SCHEMA mine"),
    "give it away": Attack('GRANT CREATE ON SCHEMA {schema} TO "{guard}"; ALTER TABLE {t} OWNER TO "{guard}"'),
    "hide its rows": Attack("ALTER TABLE {t} ENABLE ROW LEVEL SECURITY; ALTER TABLE {t} FORCE ROW LEVEL SECURITY"),
    "a policy that hides": Attack("CREATE POLICY mine ON {t} AS RESTRICTIVE USING (false)"),
    "a rule that swallows entries": Attack("CREATE RULE mine AS ON INSERT TO {t} DO INSTEAD NOTHING"),
    "a trigger that swallows entries": Attack(
        _MINE + "CREATE TRIGGER mine BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION {schema}.mine()"
    ),
    "a trigger that swallows statements": Attack(
        _MINE + "CREATE TRIGGER mine AFTER INSERT ON {t} EXECUTE FUNCTION {schema}.mine()"
    ),
    "a unique index that refuses entries": Attack("CREATE UNIQUE INDEX ON {t} (id, {column})", _AGENTS),
    "another unique index": Attack("CREATE UNIQUE INDEX ON {t} (id, transaction_id)", _TRAILS),
    "another index": Attack("CREATE INDEX ON {t} (({column} IS NULL))"),
    "other numbers": Attack("ALTER SEQUENCE {t}_id_seq RESTART", _AGENTS),
    "other storage": Attack("ALTER TABLE {t} SET (autovacuum_enabled = off)", _LEAVES),
    "another guard function": Attack(
        "CREATE OR REPLACE FUNCTION guard.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; "
        "UPDATE {t} SET {column} = {column}"
    ),
    "another check of ids": Attack(
        "CREATE OR REPLACE FUNCTION guard.check_id() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        _TRAILS,
    ),
    "a guard function under another name": Attack("ALTER FUNCTION guard.check_id() RENAME TO other"),
    "a guard function that fails": Attack("ALTER FUNCTION guard.refuse_change() STRICT SET search_path = nowhere"),
    "another owner of the guard's function": Attack(
        'SET LOCAL ROLE "{guard}"; ALTER FUNCTION guard.clear_user(text, text, uuid) SECURITY INVOKER'
    ),
    "drop the guard function": Attack("DROP FUNCTION guard.refuse_change CASCADE"),
    "a function among the guards": Attack("CREATE FUNCTION guard.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    "drop the guards' schema": Attack("DROP SCHEMA guard CASCADE"),
    "drop the schema": Attack("DROP SCHEMA {schema} CASCADE"),
    "rename the schema": Attack("ALTER SCHEMA {schema} RENAME TO hidden"),
    "drop all that one owns": Attack('DROP OWNED BY "{me}" CASCADE'),
}
