-- Run once in the new database, by its administrator: nobody may do anything until told so.

REVOKE ALL ON DATABASE {database} FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO "{app}", "{login}";
GRANT CONNECT, CREATE ON DATABASE {database} TO "{owner}";
REVOKE ALL ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA shared AUTHORIZATION "{owner}";
CREATE SCHEMA gate AUTHORIZATION "{owner}";
CREATE SCHEMA guard AUTHORIZATION "{owner}";
GRANT USAGE ON SCHEMA shared TO "{platform}", "{auditor}", "{account}", "{tenant}";
GRANT USAGE ON SCHEMA gate TO "{app}", "{account}";
GRANT USAGE ON SCHEMA guard TO "{platform}", "{auditor}", "{account}", "{tenant}";
GRANT CREATE, USAGE ON SCHEMA guard TO "{guard}";
