-- Run once per database by an administrator (a superuser, or a managed service's admin with CREATEROLE).
-- Roles: the owner (DDL; not the application's login), the application's login (owns nothing, inherits
-- nothing), and roles nobody logs in as: platform, auditor (the platform within a tenant), account (the pages
-- where people sign in), guard, and two groups:
-- the one that every tenant's role is in, and the one of the logins that take on tenants' roles (cells).

CREATE ROLE "{owner}" LOGIN CREATEROLE PASSWORD {owner_password};
CREATE ROLE "{app}" LOGIN NOINHERIT PASSWORD {app_password};
CREATE ROLE "{platform}" NOLOGIN;
CREATE ROLE "{auditor}" NOLOGIN;
CREATE ROLE "{account}" NOLOGIN;
CREATE ROLE "{guard}" NOLOGIN;
CREATE ROLE "{tenant}" NOLOGIN;
CREATE ROLE "{login}" NOLOGIN;
GRANT "{platform}", "{auditor}", "{account}" TO "{app}" WITH INHERIT FALSE, SET TRUE;
-- The owner hands its guard functions over to the guard, and puts tenants' roles and logins into their groups.
GRANT "{guard}" TO "{owner}" WITH INHERIT FALSE, SET TRUE;
GRANT "{tenant}", "{login}" TO "{owner}" WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;
