-- Plans are for everyone to read, a subscription for its own tenant; the platform log for the platform alone.

CALL guard.wall('shared.subscriptions_plan', 'true');
CALL guard.wall('shared.subscriptions_tenantsubscription', 'tenant_id = (SELECT shared.tenant_of(current_user))');
CALL guard.wall('shared.platform_log', NULL);
CALL guard.wall('shared.platform_user_agent', NULL);

GRANT SELECT, INSERT, UPDATE ON shared.subscriptions_plan, shared.subscriptions_tenantsubscription TO "{platform}";
GRANT SELECT, INSERT ON shared.platform_log, shared.platform_user_agent TO "{platform}";
CREATE INDEX platform_log_tenant ON shared.platform_log (tenant_id, id);

-- The guard clears pointers to deleted users.
CREATE POLICY guard ON shared.platform_log TO "{guard}" USING (true) WITH CHECK (true);
GRANT USAGE ON SCHEMA shared TO "{guard}";
GRANT SELECT, UPDATE (user_id) ON shared.platform_log TO "{guard}";
