-- From the order of commits to positions. Loaded once, before the trails.
-- A trigger notes the ids of each statement's entries in the outbox, in the writer's transaction. Whoever sequences takes
-- what has been committed from there and appends it to the trail's positions: so none is skipped, in whatever order
-- transactions commit, and no writer waits for another. {block} positions stand in a row: 20 bytes an entry.

-- What came first is taken first, however much waits: else what is written now would take the place of what was taken, before
-- all that has waited, and positions would go to and fro in time.
CREATE TABLE guard.outbox (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  trail regclass NOT NULL,
  ids uuid[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
-- Trails that have full rows of positions whose words are not indexed yet.
CREATE TABLE guard.unindexed (trail regclass NOT NULL)
WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Neither is for anybody but the functions below, which run with the rights of the guard: who could take an id out of the
-- outbox would hide its entry from all pollers.
ALTER TABLE guard.outbox OWNER TO "{guard}";
ALTER TABLE guard.unindexed OWNER TO "{guard}";

-- Called by each trail, and by its partitions for what is written into them directly (the argument is the trail's name).
CREATE FUNCTION guard.note_entries() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  INSERT INTO guard.outbox (trail, ids)
  SELECT format('%I.%I', TG_TABLE_SCHEMA, coalesce(TG_ARGV[0], TG_TABLE_NAME))::regclass, array_agg(id)
    FROM (SELECT id, (row_number() OVER () - 1) / {block} AS part FROM new_entries) AS numbered GROUP BY part ORDER BY part;
  RETURN NULL;
END $$;

-- Positions are given once, and a row of them is only ever appended to.
CREATE FUNCTION guard.check_positions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.number OPERATOR(pg_catalog.=) OLD.number
     AND NEW.ids[1:pg_catalog.cardinality(OLD.ids)] OPERATOR(pg_catalog.=) OLD.ids
     AND NEW.span OPERATOR(pg_catalog.@>) OLD.span THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'Positions are never changed: % of % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

-- What a trail needs to be sequenced. `span` holds the milliseconds of a row's ids: by it the position of an id is found.
CREATE PROCEDURE guard.sequenced(trail text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %1$I (number integer NOT NULL, ids uuid[] NOT NULL, span int8range NOT NULL)', trail || '_position');
  -- Not compressed, ids are random; not moved out of line, a quarter of a page.
  EXECUTE format('ALTER TABLE %1$I ALTER ids SET STORAGE PLAIN', trail || '_position');
  -- With the span, since whoever looks for a few entries reads it of many rows.
  EXECUTE format('ALTER TABLE %1$I ADD PRIMARY KEY (number) INCLUDE (span)', trail || '_position');
  EXECUTE format('CREATE INDEX %2$I ON %1$I USING gist (span)', trail || '_position', trail || '_position_span');
  EXECUTE format('CREATE TRIGGER check_positions BEFORE UPDATE ON %1$I FOR EACH ROW EXECUTE FUNCTION guard.check_positions()', trail || '_position');
  EXECUTE format('CREATE TRIGGER refuse_change BEFORE DELETE ON %1$I FOR EACH ROW EXECUTE FUNCTION guard.refuse_change()', trail || '_position');
  EXECUTE format('ALTER TABLE %1$I ENABLE ALWAYS TRIGGER check_positions, ENABLE ALWAYS TRIGGER refuse_change', trail || '_position');
  CALL guard.protect_truncate((trail || '_position')::regclass);
  -- Which words the entries of a full row of positions have, as their hashes.
  EXECUTE format('CREATE TABLE %1$I (number integer PRIMARY KEY, words integer[] NOT NULL)', trail || '_words');
  EXECUTE format('CREATE INDEX %2$I ON %1$I USING gin (words) WITH (gin_pending_list_limit = 512)', trail || '_words', trail || '_words_words');
  EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %1$I TO "{guard}"', trail || '_position');
  EXECUTE format('GRANT SELECT, INSERT ON %1$I TO "{guard}"', trail || '_words');
  EXECUTE format('CREATE POLICY guard ON %1$I TO "{guard}" USING (true) WITH CHECK (true)', trail || '_position');
  EXECUTE format('CREATE POLICY guard ON %1$I TO "{guard}" USING (true) WITH CHECK (true)', trail || '_words');
  CALL guard.note(trail::regclass, NULL);
END $$;

CREATE PROCEDURE guard.note(target regclass, trail text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TRIGGER note_entries AFTER INSERT ON %s REFERENCING NEW TABLE AS new_entries '
                 'FOR EACH STATEMENT EXECUTE FUNCTION guard.note_entries(%s)', target, coalesce(quote_literal(trail), ''));
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER note_entries', target);
END $$;

-- Note what came into a trail while its triggers did not fire: an import of it.
CREATE PROCEDURE guard.note_missing(trail regclass) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('INSERT INTO guard.outbox (trail, ids) SELECT $1, array_agg(id) FROM (
      SELECT id, (row_number() OVER (ORDER BY id) - 1) / {block} AS part FROM %1$s
       WHERE id NOT IN (SELECT unnest(ids) FROM %1$s_position)) AS numbered GROUP BY part ORDER BY part', trail) USING trail;
  INSERT INTO guard.unindexed (trail) VALUES (trail);
END $$;

CREATE FUNCTION guard.millis(id uuid) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint;

-- Append entries to the positions of their trail; return how many. Ids that do not stand in it get none: a position
-- without an entry would look like a loss.
CREATE FUNCTION guard.append_positions(trail regclass, wanted uuid[]) RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found uuid[];
  number integer;
  room integer;
BEGIN
  EXECUTE format('SELECT coalesce(array_agg(id ORDER BY id), ''{}'') FROM %s WHERE id = ANY ($1)', trail) INTO found USING wanted;
  EXECUTE format('SELECT number, {block} - cardinality(ids) FROM %s_position ORDER BY number DESC LIMIT 1', trail) INTO number, room;
  room := coalesce(room, 0);
  IF room > 0 AND found <> '{}' THEN
    EXECUTE format('UPDATE %s_position SET ids = ids || $1, span = range_merge(span, $2) WHERE number = $3', trail)
      USING found[1:room], int8range(guard.millis(found[1]), guard.millis(found[least(room, cardinality(found))]), '[]'), number;
  END IF;
  EXECUTE format('INSERT INTO %s_position (number, ids, span)
    SELECT $1 + part, ids, int8range(guard.millis(ids[1]), guard.millis(ids[cardinality(ids)]), ''[]'')
      FROM (SELECT (n - 1) / {block} AS part, array_agg(id ORDER BY n) AS ids
              FROM unnest($2) WITH ORDINALITY AS entry(id, n) GROUP BY part) AS parts', trail)
    USING coalesce(number, -1) + 1, found[room + 1:];
  IF cardinality(found) >= coalesce(nullif(room, 0), {block}) THEN
    INSERT INTO guard.unindexed (trail) VALUES (trail);
  END IF;
  RETURN cardinality(found);
END $$;

-- Give positions to up to `most` statements' entries of all trails; return how many entries that were. Null: another
-- session is at it. A trail that cannot be sequenced holds up no other: its entries wait, and the server's log says why.
CREATE FUNCTION gate.sequence(most integer) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  taken record;
  done bigint := 0;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('daybook'), hashtext('sequence')) THEN
    RETURN NULL;
  END IF;
  FOR taken IN
    WITH batch AS (DELETE FROM guard.outbox WHERE number = ANY (ARRAY(SELECT number FROM guard.outbox ORDER BY number LIMIT most))
                   RETURNING number, trail, ids)
    SELECT trail, min(number) AS turn, array_agg(id) AS ids FROM batch CROSS JOIN unnest(ids) AS id GROUP BY trail
  LOOP
    -- Of a table that was dropped meanwhile the number alone is left.
    CONTINUE WHEN taken.trail::text ~ '^\d+$';
    BEGIN
      done := done + guard.append_positions(taken.trail, taken.ids);
    EXCEPTION WHEN OTHERS THEN
      RAISE WARNING 'The trail % cannot be sequenced: %', taken.trail, SQLERRM;
      -- In its turn: when it can be sequenced again, it goes on where it was.
      INSERT INTO guard.outbox (number, trail, ids) OVERRIDING SYSTEM VALUE VALUES (taken.turn, taken.trail, taken.ids);
    END;
  END LOOP;
  RETURN done;
END $$;

-- A text as it is searched: in lower case, without accents, and with blanks for what is no letter and no digit.
CREATE FUNCTION guard.plain(words text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
  regexp_replace(CASE WHEN words ~ '[^[:ascii:]]' THEN regexp_replace(normalize(lower(words), NFKD), '[\u0300-\u036F]+', '', 'g')
                      ELSE lower(words) END, '[^[:alnum:]]+', ' ', 'g');

-- Its words.
CREATE FUNCTION guard.words(plain text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
  array_remove(string_to_array(plain, ' '), '');

-- What can be found of an entry by its words: labels, description and changes. In JSON an escaped character is a blank.
CREATE FUNCTION guard.texts(actor text, impersonator text, resource text, description text, targets jsonb, changes jsonb, personal jsonb)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
  coalesce(actor, '') || ' ' || coalesce(impersonator, '') || ' ' || coalesce(resource, '') || ' ' || coalesce(description, '')
    || ' ' || regexp_replace(coalesce(jsonb_path_query_array(targets, '$[*].label')::text, '') || coalesce(changes::text, '')
                             || coalesce(personal::text, ''), '\\(["\\bfnrt]|u[0-9a-f]{4})', ' ', 'g');

CREATE FUNCTION guard.searchable(actor text, impersonator text, resource text, description text, targets jsonb, changes jsonb, personal jsonb)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
  guard.plain(guard.texts(actor, impersonator, resource, description, targets, changes, personal));

-- Index the words of up to `most` full rows of positions of each trail that has some, in their order; return how many rows
-- that were. Null: another session is at it.
CREATE FUNCTION gate.index_words(most integer) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  trail regclass;
  rows bigint;
  done bigint := 0;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('daybook'), hashtext('words')) THEN
    RETURN NULL;
  END IF;
  FOR trail IN WITH batch AS (DELETE FROM guard.unindexed RETURNING unindexed.trail) SELECT DISTINCT batch.trail FROM batch LOOP
    CONTINUE WHEN trail::text ~ '^\d+$';
    BEGIN
    -- A row's texts are made plain together, which is quicker than each by itself.
    EXECUTE format('INSERT INTO %1$s_words (number, words)
      SELECT p.number, ARRAY(SELECT DISTINCT hashtext(word) FROM unnest(guard.words(guard.plain((
               SELECT string_agg(guard.texts(e.actor_label, e.impersonator_label, e.resource_label, e.description, e.targets,
                                             e.changes, e.personal), '' '') FROM %1$s AS e WHERE e.id = ANY (p.ids))))) AS word)
        FROM %1$s_position AS p
       WHERE cardinality(p.ids) = {block} AND p.number > coalesce((SELECT max(number) FROM %1$s_words), -1)
       ORDER BY p.number LIMIT $1', trail) USING most;
    GET DIAGNOSTICS rows = ROW_COUNT;
    EXCEPTION WHEN OTHERS THEN
      RAISE WARNING 'The words of the trail % cannot be indexed: %', trail, SQLERRM;
      rows := 0;
      INSERT INTO guard.unindexed (trail) VALUES (trail);
    END;
    IF rows = most THEN
      INSERT INTO guard.unindexed (trail) VALUES (trail);
    END IF;
    done := done + rows;
  END LOOP;
  RETURN done;
END $$;

REVOKE ALL ON PROCEDURE guard.sequenced, guard.note, guard.note_missing FROM PUBLIC;
REVOKE ALL ON FUNCTION guard.append_positions, gate.sequence, gate.index_words FROM PUBLIC;
GRANT EXECUTE ON FUNCTION guard.append_positions TO "{guard}";
GRANT EXECUTE ON FUNCTION gate.sequence, gate.index_words TO "{app}";
ALTER FUNCTION guard.note_entries OWNER TO "{guard}";
ALTER PROCEDURE guard.note_missing OWNER TO "{guard}";
SET ROLE "{guard}";
GRANT EXECUTE ON PROCEDURE guard.note_missing TO "{owner}";
RESET ROLE;
-- Whom a function is given to must be able to make one there.
GRANT CREATE ON SCHEMA gate TO "{guard}";
ALTER FUNCTION gate.sequence OWNER TO "{guard}";
ALTER FUNCTION gate.index_words OWNER TO "{guard}";
REVOKE CREATE ON SCHEMA gate FROM "{guard}";
