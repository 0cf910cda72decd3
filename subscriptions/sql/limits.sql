-- How many requests each caller and tenant has made in the current minute: what the processes that serve tell each other.
-- UNLOGGED: nothing of it is worth a write to the log; after a crash all begin at nought.

CREATE UNLOGGED TABLE shared.request_count (
  subject uuid PRIMARY KEY,
  minute bigint NOT NULL,
  used bigint NOT NULL
) WITH (fillfactor = 50);
CALL guard.wall('shared.request_count', NULL);

-- Add what a process has let through since it last told, and return what all have, with what the tenant's plan allows.
-- `subjects` are the tenant (NULL for the platform) and who calls; NULL as an allowance is no limit.
CREATE FUNCTION gate.spend(tenant uuid, caller uuid, at bigint, spent bigint[], defaults bigint[])
RETURNS TABLE (tenant_used bigint, caller_used bigint, tenant_allowed bigint, caller_allowed bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = shared, pg_temp AS $$
  WITH told AS (
    INSERT INTO request_count AS c (subject, minute, used)
    SELECT subject, at, used FROM unnest(ARRAY[tenant, caller], spent) AS s (subject, used)
     WHERE subject IS NOT NULL ORDER BY subject
    ON CONFLICT (subject) DO UPDATE SET minute = greatest(c.minute, excluded.minute),
      used = CASE WHEN excluded.minute > c.minute THEN excluded.used WHEN excluded.minute = c.minute THEN c.used + excluded.used
             ELSE c.used END
    RETURNING c.subject, c.used
  ), plan AS (
    SELECT p.requests_per_minute, p.requests_per_minute_of_one
      FROM subscriptions_tenantsubscription AS s JOIN subscriptions_plan AS p ON p.id = s.plan_id WHERE s.tenant_id = tenant
  )
  SELECT (SELECT used FROM told WHERE subject = tenant), (SELECT used FROM told WHERE subject = caller),
         CASE WHEN EXISTS (SELECT FROM plan) THEN (SELECT requests_per_minute FROM plan) ELSE defaults[1] END,
         CASE WHEN EXISTS (SELECT FROM plan) THEN (SELECT requests_per_minute_of_one FROM plan) ELSE defaults[2] END
$$;
REVOKE ALL ON FUNCTION gate.spend FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gate.spend TO "{app}";
