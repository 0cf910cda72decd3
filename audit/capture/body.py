"""The text of a table's trigger function: what turns the rows of one statement into entries. Pure.

Generated for each table, since a function that knows its columns takes a third of the time of one that asks JSON for
them. One call serves all rows of a statement: what costs most of an entry, to begin an INSERT, is paid once. Old and
new rows are matched by their number, which holds for changed keys as well, in a full join, for which the planner has
no other way than a hash: it knows nothing of how many rows there are, and would try each with each.

The text names `{schema}` where the schema of the table is meant; `guard.capture` fills it in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace

from audit.capture.spec import Column, Kind, Spec

_UUID = "^[0-9a-f]{8}(-?)[0-9a-f]{4}\\1[0-9a-f]{4}\\1[0-9a-f]{4}\\1[0-9a-f]{12}$"
_MASKED = '"[masked]"'
_SAFE = 2**53
# A function takes 100 arguments at the most.
_CHUNK = 50
_TEXT = re.compile(r"(varchar|character varying|text)(\[\])*")
# Types whose `=` tells all differences that a reader would see. Others (json, citext, xml) are compared as text.
_COMPARABLE = re.compile(
    r"(uuid|boolean|smallint|integer|bigint|numeric|real|double precision|date|time\b.*"
    r"|timestamp\b.*|interval|bytea|jsonb|inet|cidr|macaddr|\w+range)(\[\])*"
)
# Values that are more bytes together would make an entry too large: then those longer than `_LONG` are told by hash.
_LARGE = 48 * 1024
_LONG = 256

_NUMBER = "CASE WHEN {v} BETWEEN -%(safe)s AND %(safe)s THEN to_json({v}) ELSE to_json({v}::text) END"
_NUMBERS = "CASE WHEN %(safe)s < ANY ({v}) OR -%(safe)s > ANY ({v}) THEN to_json({v}::text[]) ELSE to_json({v}) END"
# Beyond these years there are more than four digits, or it is before Christ.
_MOMENT = (
    "to_json(CASE WHEN {v} BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00'"
    " THEN to_char({v} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') ELSE {v}::text END)"
)
# How values of a type are told, where `to_json` does not do.
_TOLD = {
    **dict.fromkeys(("json", "jsonb"), "{v}"),
    **dict.fromkeys(("numeric", "decimal"), "to_json({v}::text)"),
    **dict.fromkeys(("numeric[]", "decimal[]"), "to_json({v}::text[])"),
    **dict.fromkeys(("timestamp with time zone", "timestamptz"), _MOMENT),
    **dict.fromkeys(("bigint", "double precision", "real"), _NUMBER % {"safe": _SAFE}),
    **dict.fromkeys(("bigint[]", "double precision[]", "real[]"), _NUMBERS % {"safe": _SAFE}),
    "interval": "to_json(guard.duration({v}))",
    "bytea": "to_json(translate(encode({v}, 'base64'), E'\\n', ''))",
}
# Types of keys whose text is what `_TOLD` says of them.
_KEYS = ("uuid", "varchar", "character", "text", "citext", "numeric", "smallint", "integer", "bigint")

_NO_UUID, _NO_TEXT, _NO_JSON = "NULL::uuid", "NULL::text", "NULL::jsonb"

_NEW_ID = (
    "(overlay(lpad(to_hex(((date_part('epoch', clock_timestamp()) * 1000000)::bigint * 512 + 124) / 125), 15, '0')"
    " PLACING '7' FROM 13 FOR 0) || '8' || lpad(to_hex(random(0, 1152921504606846975)), 15, '0'))::uuid"
)
# A seed that nobody knows makes a salt that nobody guesses, whatever is hashed with it; a random UUID takes eight times
# as long, since it asks the operating system.
_SALT = "substr(sha256(v_seed || int8send(random(0, 1152921504606846975))), 1, 16)"


def body(spec: Spec) -> str:
    """Return the body of the function, in PL/pgSQL."""
    trail, agents = _trail(spec)
    steps = "".join(
        f"  {word} TG_OP = '{event}' THEN\n{_write(spec, operation, rows)}"
        for word, event, operation, rows in (
            ("IF", "INSERT", "create", "new_rows"),
            ("ELSIF", "UPDATE", "update", ""),
            ("ELSIF", "DELETE", "delete", "old_rows"),
            ("ELSIF", "TRUNCATE", "delete", f"ONLY {{schema}}.{_name(spec.table)}"),
        )
    )
    return _FRAME.replace("<trail>", trail).replace("<agents>", agents).replace("<steps>", steps)


_FRAME = """
#variable_conflict use_variable
DECLARE
  v_said jsonb := nullif(current_setting('daybook.context', true), '')::jsonb;
  v_actor jsonb := v_said -> 'actor';
  v_by jsonb := v_said -> 'by';
  -- Without a context somebody works on the database itself: then its roles are all that is known.
  v_who text := coalesce(v_actor ->> 1, session_user);
  v_uuid uuid := CASE WHEN v_said ? 'person'
                      OR v_who ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' THEN v_who::uuid END;
  v_seed bytea := uuid_send(gen_random_uuid());
  v_paused boolean := coalesce(v_said ? 'paused', false);
  v_agent integer;
  v_row record;
BEGIN
  -- A pause of the platform's is none for the tenants: what concerns them is told in their trails as ever.
  IF v_paused AND NOT EXISTS (
       SELECT FROM <trail> AS t WHERE t.id = (v_said ->> 'paused')::uuid AND t.action = 'capture.paused'
          AND t.transaction_id = pg_current_xact_id()::text::bigint) THEN
    RAISE EXCEPTION 'Capture is paused by an entry of this transaction alone, and there is none'
      USING ERRCODE = 'restrict_violation', HINT = 'Use `with capture_paused(reason=...)`.';
  END IF;
  IF v_said ? 'agent' THEN
    SELECT a.id INTO v_agent FROM <agents> AS a
     WHERE hashtextextended(a.user_agent, 0) = hashtextextended(v_said ->> 'agent', 0)
       AND a.user_agent = v_said ->> 'agent' LIMIT 1;
    IF NOT FOUND THEN
      INSERT INTO <agents> AS a (user_agent) VALUES (v_said ->> 'agent') RETURNING a.id INTO v_agent;
    END IF;
  END IF;
<steps>  END IF;
  RETURN NULL;
END
"""

# The columns of an entry, and where they come from: the row's own are `r0`'s.
_ENTRY = {
    "version": "1",
    "captured": "true",
    "id": _NEW_ID,
    "user_id": "CASE WHEN v_said ? 'person' THEN v_uuid END",
    "actor_uuid": "v_uuid",
    "actor_key": "CASE WHEN v_uuid IS NULL THEN v_who END",
    "actor_type": "coalesce(v_actor ->> 0, 'system')",
    "actor_label": "CASE WHEN v_actor IS NULL THEN v_who ELSE nullif(v_actor ->> 2, '') END",
    "impersonator_type": "v_by ->> 0",
    "impersonator_id": "v_by ->> 1",
    "impersonator_label": "nullif(v_by ->> 2, '')",
    "outcome": "'success'",
    "source": "coalesce(v_said ->> 'source', 'database')",
    "request_id": "v_said ->> 'request_id'",
    "ip": "(v_said ->> 'ip')::inet",
    "agent_id": "v_agent",
    "salt": _SALT,
    "resource_uuid": "r0.daybook_uuid",
    "resource_key": "r0.daybook_key",
    "resource_label": "r0.daybook_label",
    "targets": "r0.daybook_targets",
}


def _trail(spec: Spec) -> tuple[str, str]:
    """Return the trail that the table's changes stand in, and its dictionary of user agents."""
    if spec.shared:
        return "shared.platform_log", "shared.platform_user_agent"
    return "{schema}.audit_log", "{schema}.audit_user_agent"


def _write(spec: Spec, operation: str, rows: str) -> str:
    """Return the statements that write the entries of one statement's rows."""
    entry = _ENTRY | {
        "action": _text(spec.verbs[operation]),
        "operation": _text("update" if spec.far else operation),
        "resource_type": _text(spec.resource_type),
        "changes": _object("r0.daybook_kept", spec),
        "personal": _object("r0.daybook_personal", spec),
    }
    if spec.shared and spec.tenant:
        entry["tenant_id"] = "r0.daybook_tenant"
    # What is never said of this table costs nothing.
    entry = {name: value for name, value in entry.items() if name not in _unsaid(spec, operation)}
    source, (trail, _) = _rows(spec, operation, rows), _trail(spec)
    changed = " WHERE r0.daybook_kept <> '' OR r0.daybook_personal <> ''" if operation == "update" else ""
    outside = _rows(_outside(spec), operation, rows)
    return (
        f"    IF NOT v_paused THEN\n      INSERT INTO {trail} ({', '.join(entry)})\n"
        f"      SELECT {', '.join(entry.values())}\n  "
        f"      FROM ({source}) AS r0{changed};\n    END IF;\n{_copies(spec, entry, outside, changed)}"
    )


def _unsaid(spec: Spec, operation: str) -> set[str]:
    """Return the columns that stay empty in all entries of an operation on a table."""
    uuid, key = _identity(spec, "n0")
    told = {
        "personal": any(column.kind is Kind.PERSONAL for column in spec.columns),
        "resource_label": spec.label,
        "resource_uuid": uuid != _NO_UUID,
        "resource_key": key != _NO_TEXT,
        "targets": spec.far or operation == "update",
    }
    return {name for name, said in told.items() if not said}


def _object(members: str, spec: Spec) -> str:
    """Return the JSON object of these members; values are told by their hashes where all are too large together."""
    made = f"('{{' || {members} || '}}')::jsonb"
    small = f"octet_length(r0.daybook_kept) + octet_length(r0.daybook_personal) <= {_LARGE}"
    most = min(_LONG, _LARGE // (2 * max(len(spec.columns), 1)))
    return f"CASE WHEN {members} = '' THEN NULL WHEN {small} THEN {made} ELSE guard.shortened({made}, {most}) END"


def _copies(spec: Spec, entry: dict[str, str], source: str, changed: str) -> str:
    """Return the loop that tells the tenants whose row it is; one that is being made has no trail yet."""
    whose = {
        "tenant": "t.id = r0.daybook_tenant",
        "person": "t.id IN (SELECT m.tenant_id FROM shared.tenants_membership AS m"
        " WHERE m.user_id = r0.daybook_person AND m.ended_at IS NULL)",
    }
    joined = [condition for name, condition in whose.items() if getattr(spec, name)]
    if not joined:
        return ""
    # Staff are none of the tenant's people, and the platform adds nothing to its dictionary of user agents.
    own = {name: value for name, value in entry.items() if name not in {"id", "tenant_id", "user_id", "agent_id"}}
    own["salt"] = "uuid_send(gen_random_uuid())"
    selected = ", ".join(f"{value} AS {name}" for name, value in own.items())
    return (
        f"    FOR v_row IN\n      SELECT t.schema_name AS daybook_place, {selected}\n"
        f"        FROM ({source}) AS r0 JOIN shared.tenants_tenant AS t ON {joined[0]}{changed}\n    LOOP\n"
        "      IF to_regclass(format('%I.audit_log', v_row.daybook_place)) IS NOT NULL THEN\n"
        f"        EXECUTE format('INSERT INTO %I.audit_log ({', '.join(own)}) VALUES ({_placeholders(len(own))})',"
        f" v_row.daybook_place)\n          USING {', '.join(f'v_row.{name}' for name in own)};\n"
        "      END IF;\n    END LOOP;\n"
    )


def _outside(spec: Spec) -> Spec:
    """Return what tenants are told of a shared table."""
    return replace(spec, columns=tuple(column for column in spec.columns if column.kind is not Kind.INTERNAL))


def _placeholders(count: int) -> str:
    return ", ".join(f"${number}" for number in range(1, count + 1))


def _rows(spec: Spec, operation: str, rows: str) -> str:
    """Return the query of the rows: number, key, label, targets, and the members of their changes as text."""
    side = {"create": "n0", "update": "n0", "delete": "o0"}[operation]
    # What identifies the row is told where it changes, also of a link, whose near side stands in no other column.
    moved = [column for column in spec.key if operation == "update" and column not in spec.columns]
    told = moved + [column for column in spec.columns if operation == "update" or column not in spec.key or spec.far]
    kept, personal = (
        _members([_member(column, operation) for column in told if (column.kind is Kind.PERSONAL) == erasable])
        for erasable in (False, True)
    )
    uuid, key = _identity(spec, side)
    parts = {
        "daybook_uuid": uuid,
        "daybook_key": key,
        "daybook_label": f"left({side}.{_name(spec.label)}::text, 255)" if spec.label else _NO_TEXT,
        "daybook_targets": _targets(spec, side, operation),
        "daybook_kept": kept,
        "daybook_personal": personal,
    }
    if spec.tenant:
        parts["daybook_tenant"] = f"{side}.{_name(spec.tenant)}"
    if spec.person:
        parts["daybook_person"] = f"{side}.{_name(spec.person)}"
    selected = ", ".join(f"{value} AS {name}" for name, value in parts.items())
    if operation == "update":
        numbered = "(SELECT row_number() OVER () AS daybook_i, * FROM {})"
        source = f"{numbered.format('old_rows')} AS o0 FULL JOIN {numbered.format('new_rows')} AS n0 USING (daybook_i)"
        # OFFSET 0: the members are computed once, not wherever they are named.
        return f"SELECT {selected} FROM {source} OFFSET 0"
    return f"SELECT {selected} FROM {rows} AS {side} OFFSET 0"


def _identity(spec: Spec, side: str) -> tuple[str, str]:
    """Return the two expressions of the resource's id: a UUID as one, any other key as text."""
    if len(spec.key) > 1:
        parts = ", ".join(_json(f"{side}.{_name(column.column)}", column.type) for column in spec.key)
        return _NO_UUID, f"jsonb_build_array({parts})::text"
    (key,) = spec.key
    value = f"{side}.{_name(key.column)}"
    if key.type == "uuid":
        return value, _NO_TEXT
    if not key.type.startswith(("varchar", "character", "text", "citext")):
        return _NO_UUID, _id(value, key.type)
    # A text that spells a UUID is found in any of its spellings, so it is kept as one.
    spelt = f"{value} ~* '{_UUID}'"
    return f"CASE WHEN {spelt} THEN {value}::uuid END", f"CASE WHEN NOT {spelt} THEN {value}::text END"


def _id(value: str, kind: str) -> str:
    """Return a key as text: as changes tell it, so that a reader finds the one by the other."""
    return f"{value}::text" if kind.startswith(_KEYS) else f"({_json(value, kind)} #>> '{{}}')"


def _targets(spec: Spec, side: str, operation: str) -> str:
    """Return the far side of a link; and, of a row whose key was changed, the former one."""
    former = _NO_JSON
    if operation == "update":
        changed = " OR ".join(map(_differs, spec.key))
        uuid, key = _identity(spec, "o0")
        former = f"CASE WHEN {changed} THEN {_target(spec.resource_type, f'coalesce({uuid}::text, {key})')} END"
    if not spec.far:
        return former
    far = _target(spec.far[0], _id(f"{side}.{_name(spec.far[1])}", spec.columns[0].type))
    return f"{far} || coalesce({former}, '[]')" if operation == "update" else far


def _target(kind: str, key: str) -> str:
    return f"jsonb_build_array(jsonb_build_object('type', {_text(kind)}, 'id', {key}, 'label', ''))"


def _members(members: Iterable[str]) -> str:
    """Return the text of the members that are there, with commas between them."""
    found = list(members)
    if not found:
        return "''"
    chunks = [f"concat_ws(',', {', '.join(found[at : at + _CHUNK])})" for at in range(0, len(found), _CHUNK)]
    if len(chunks) == 1:
        return chunks[0]
    there = ", ".join(f"nullif({chunk}, '')" for chunk in chunks)
    return f"concat_ws(',', {there})"


def _member(column: Column, operation: str) -> str:
    """Return the text of one member of the changes, or NULL where there is nothing to tell."""
    name = json.dumps(column.name, ensure_ascii=False)
    if operation == "update":
        begun, old, new = _text(name + ':{"old":'), _value(column, "o0"), _value(column, "n0")
        return f"CASE WHEN {_differs(column)} THEN {begun} || {old} || ',\"new\":' || {new} || '}}' END"
    side, word = ("n0", "new") if operation == "create" else ("o0", "old")
    there = f"{side}.{_name(column.column)} IS NOT NULL"
    begun = _text(f'{name}:{{"{word}":')
    return f"CASE WHEN {there} THEN {begun} || {_value(column, side)} || '}}' END"


def _differs(column: Column) -> str:
    name = _name(column.column)
    if _TEXT.fullmatch(column.type):
        # Not by the column's collation, to which two texts that differ may be equal.
        return f'o0.{name} COLLATE "C" IS DISTINCT FROM n0.{name}'
    cast = "" if _COMPARABLE.fullmatch(column.type) else "::text"
    return f"o0.{name}{cast} IS DISTINCT FROM n0.{name}{cast}"


def _value(column: Column, side: str) -> str:
    """Return the JSON text of a value, never NULL."""
    if column.kind is Kind.MASKED:
        return _text(_MASKED)
    return f"coalesce({_json(f'{side}.{_name(column.column)}', column.type)}::text, 'null')"


def _json(value: str, kind: str) -> str:
    """Return a value as JSON: what JSON's numbers cannot keep as text, times in UTC, bytes in base64."""
    return _TOLD.get(re.sub(r"(\[\])+", "[]", kind), "to_json({v})").replace("{v}", value)


def _name(name: str) -> str:
    quoted = name.replace('"', '""')
    return f'"{quoted}"'


def _text(text: str) -> str:
    quoted = text.replace("'", "''")
    return f"'{quoted}'"
