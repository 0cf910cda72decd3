"""Bytes per entry of the candidate layouts of the trail, indexes included.

Usage: python -m bench.size [DSN]    (any PostgreSQL 18 database in which the caller may create schemas)

One row is one update entry of two changed fields with full context, as one request writes it. The
candidates differ in where the context stands and in what the indexes hold; the last one is the layout
the project ships. Rows arrive one by one in time order, as they do in life, so index pages split as in
life. Each candidate is also measured with three entries for each unit of work.
"""

from __future__ import annotations

import random
import sys
import uuid

import psycopg

ROWS = 60_000
PEOPLE, RESOURCES, AGENTS = 1_000, 20_000, 200
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{0}.0.0.0 Safari/537.36"
KEY = "hashtextextended({0}, 0)"

ENTRY = """id uuid PRIMARY KEY, created_at timestamptz NOT NULL, occurred_at timestamptz,
  transaction_id bigint NOT NULL, user_id uuid, actor_type text NOT NULL, actor_id text NOT NULL,
  impersonator_type text, impersonator_id text, action text NOT NULL, operation text NOT NULL,
  outcome text NOT NULL, resource_type text NOT NULL, resource_id text NOT NULL, targets jsonb,
  changes jsonb, description text, metadata jsonb, version smallint NOT NULL, resource_label text,
  impersonator_label text, personal jsonb, salt bytea NOT NULL"""
CONTEXT = "actor_label text, ip inet, {agent}, request_id text, source text NOT NULL"
TEXT_INDEXES = (
    "(user_id, created_at)",
    "(actor_id, created_at)",
    "(resource_type, resource_id, created_at)",
    "(action, created_at)",
)
HASH_INDEXES = (
    f"({KEY.format('actor_id')}, id)",
    f"({KEY.format('''resource_type || ':' || resource_id''')}, id)",
    f"({KEY.format('action')}, id)",
)
TEXT_ID_INDEXES = ("(actor_id, id)", "(resource_type, resource_id, id)", "(action, id)")
TABLES = {
    "everything in the row, text indexes": ("row", TEXT_INDEXES),
    "everything in the row, hash indexes": ("row", HASH_INDEXES),
    "context row per unit of work, text indexes": ("context", TEXT_INDEXES),
    "context row per unit of work, hash indexes": ("context", HASH_INDEXES),
    "context row + agent dictionary, hash indexes": ("context+dictionary", HASH_INDEXES),
    "row + agent dictionary, text indexes on id": ("dictionary", TEXT_ID_INDEXES),
    "row + agent dictionary, hash indexes (shipped)": ("dictionary", HASH_INDEXES),
}


def create(cursor: psycopg.Cursor[tuple[object, ...]], layout: str, indexes: tuple[str, ...]) -> None:
    """Create the tables of one layout in a fresh schema `size`."""
    cursor.execute("DROP SCHEMA IF EXISTS size CASCADE; CREATE SCHEMA size; SET search_path = size")
    agent = "agent_id int" if "dictionary" in layout else "user_agent text"
    context = CONTEXT.format(agent=agent)
    cursor.execute("CREATE TABLE agent (id int PRIMARY KEY, user_agent text NOT NULL)")
    if "context" in layout:
        personal = ENTRY.replace(", salt bytea NOT NULL", "")
        cursor.execute(f"CREATE TABLE context (id bigint PRIMARY KEY, salt bytea NOT NULL, {context})")
        cursor.execute(f"CREATE TABLE entry ({personal}, context_id bigint NOT NULL)")
    else:
        cursor.execute(f"CREATE TABLE entry ({ENTRY}, {context})")
    for index in indexes:
        cursor.execute(f"CREATE INDEX ON entry {index}")
    for number in range(AGENTS):
        cursor.execute("INSERT INTO agent VALUES (%s, %s)", (number, AGENT.format(number)))


def values(rng: random.Random, layout: str, number: int, person: int, agent: int) -> tuple[list[object], list[object]]:
    """Return the columns of an entry and those of its context, in table order."""
    moment = 1_795_000_000_000 + number * 37
    key = uuid.UUID(int=moment << 80 | 7 << 76 | rng.getrandbits(12) << 64 | 2 << 62 | rng.getrandbits(62))
    user, resource = uuid.UUID(int=person << 64 | 5), uuid.UUID(int=rng.randrange(RESOURCES) << 60 | 9)
    changes = '{"plan": {"old": "free", "new": "premium"}, "seats": {"old": 5, "new": 25}}'
    action = rng.choices(["updated", "created", "deleted", "user.signed_in", "invoice.paid"], [50, 25, 8, 12, 5])[0]
    entry: list[object] = [key, f"epoch {moment / 1000}", None, 700 + number, user, "user", str(user), None, None]
    entry[1] = psycopg.TimestampFromTicks(moment / 1000)
    entry += [action, "update", "success", "organization", str(resource), None, changes, None, None, 1, "Acme Ltd", None, None]
    label = f"person{person}@acme.example"
    agent_value: object = agent if "dictionary" in layout else AGENT.format(agent)
    context: list[object] = [label, f"203.0.{person % 250}.{agent % 250}", agent_value, str(uuid.UUID(int=rng.getrandbits(128))), "api"]
    return entry, context


def fill(cursor: psycopg.Cursor[tuple[object, ...]], layout: str, entries: int) -> None:
    """Write ROWS entries, `entries` of them for each unit of work."""
    rng, rows, contexts = random.Random(7), [], []
    for number in range(ROWS):
        if number % entries == 0:
            person, agent = rng.randrange(PEOPLE), rng.randrange(AGENTS)
            unit: list[object] = values(rng, layout, number, person, agent)[1]
            contexts.append([number // entries, rng.randbytes(16), *unit])
        entry, _ = values(rng, layout, number, person, agent)
        rows.append([*entry, number // entries] if "context" in layout else [*entry, rng.randbytes(16), *unit])
    for table, lines in (("entry", rows), ("context", contexts if "context" in layout else [])):
        for start in range(0, len(lines), 500):
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                for line in lines[start : start + 500]:
                    copy.write_row(line)


def measure(cursor: psycopg.Cursor[tuple[object, ...]]) -> tuple[float, float]:
    """Return bytes per entry of tables and of indexes (the agent dictionary included)."""
    cursor.execute(
        "SELECT sum(pg_table_size(c.oid)), sum(pg_indexes_size(c.oid)) FROM pg_class c"
        " WHERE relnamespace = 'size'::regnamespace AND relkind = 'r'"
    )
    heap, indexes = cursor.fetchone() or (0, 0)
    return float(str(heap)) / ROWS, float(str(indexes)) / ROWS


def main(dsn: str) -> None:
    """Print a table of all candidates."""
    with psycopg.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        print(f"{'layout':50} {'entries/unit':>12} {'tables':>8} {'indexes':>8} {'total':>8}  bytes per entry")
        for name, (layout, indexes) in TABLES.items():
            for entries in (1, 3):
                create(cursor, layout, indexes)
                fill(cursor, layout, entries)
                heap, index = measure(cursor)
                print(f"{name:50} {entries:12d} {heap:8.0f} {index:8.0f} {heap + index:8.0f}")
        cursor.execute("DROP SCHEMA size CASCADE")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
