"""Tokens of a tenant's own identity provider (OpenID Connect): `tokens` judges them by what `keys` has learnt.

`fetching` is the one way out to the network. Nothing is fetched within a unit of work, nor while a connection of a
pool is held: docs/decisions/0029 says why a request may wait for a network here at all.
"""
