"""The database backend of the owner's login, under which migrations and provisioning run.

script         cuts an SQL script into single statements (pure)
schema         the schema editor: one statement at a time, and a tape of what it ran
introspection  looks at the tables of one schema, however many there are beside it
base           Django's wrapper, which puts them together
"""
