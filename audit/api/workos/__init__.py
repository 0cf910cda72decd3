"""The audit-log routes of WorkOS, so that its official SDK in any language is a client: another `base_url` is enough.

`wire` reads what the SDK sends, `schemas` turns its schemas of actions into the catalogue's and back, `answers` writes
what it expects, errors included, `views` are the routes. They bring no concept of their own: an organisation is the
tenant of the key, an event an entry, an action a declared event type, an export an export.
"""
