"""The doctor proves the walls on a live database, and says what is wrong, where, and what to do.

facts (what stands there) · expected (what must) · findings (the difference, with ids) · directory, ledger (do the
tenants' rows, schemas, roles and migrations agree) · hardening (what only a superuser closes) · proofs (what must be
refused, tried) · examination (all of it, in parallel) · report (a table, or JSON).
"""
