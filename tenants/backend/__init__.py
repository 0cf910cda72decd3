"""The database backend: a unit of work is one transaction bound to one role by its first message.

unit         what the first message says (pure)
connection   psycopg's connection, which sends it in place of BEGIN
base         Django's wrapper, which refuses queries outside a unit of work
"""
