-- Run once per database by an administrator (a superuser, or a managed service's admin with CREATEROLE).
-- Roles: the owner (DDL; not the application's login), the application's login (owns nothing, inherits
-- nothing), and roles nobody logs in as: platform, guard, and the group that every tenant's role is in.

CREATE ROLE "{owner}" LOGIN CREATEROLE PASSWORD {owner_password};
CREATE ROLE "{app}" LOGIN NOINHERIT PASSWORD {app_password};
CREATE ROLE "{platform}" NOLOGIN;
CREATE ROLE "{guard}" NOLOGIN;
CREATE ROLE "{tenant}" NOLOGIN;
GRANT "{platform}" TO "{app}" WITH INHERIT FALSE, SET TRUE;
-- The owner hands its guard functions over to the guard, and puts tenants' roles into their group.
GRANT "{guard}" TO "{owner}" WITH INHERIT FALSE, SET TRUE;
GRANT "{tenant}" TO "{owner}" WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;
