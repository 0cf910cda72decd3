-- Return the number of a user agent in the dictionary that the search_path shows, entering it on first use.

CREATE FUNCTION guard.{agents}_id(agent text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  known integer;
BEGIN
  IF agent IS NULL THEN
    RETURN NULL;
  END IF;
  SELECT id INTO known FROM {agents} WHERE hashtextextended(user_agent, 0) = hashtextextended(agent, 0) AND user_agent = agent LIMIT 1;
  IF NOT FOUND THEN
    INSERT INTO {agents} (user_agent) VALUES (agent) RETURNING id INTO known;
  END IF;
  RETURN known;
END $$;
