"""What happened: each tenant's trail.

entry       the columns that every trail has (AuditLog here, PlatformLog in subscriptions)
events      the vocabulary: an event as it enters, its words and limits
vocabulary  the event types that Daybook itself writes; languages has their sentences
sentences   an entry as a sentence (pure)
changes     diff, normalise and redact (pure)
rows        how rows reach the database: one statement for a few or for many
ledger      append, the only writer of trails; log_action
history     the seeds' history and activity, over any trail
usage       record_usage, the only writer of UsageLog
query       filters and keyset pages
schemas     JSON Schemas of metadata: which are taken, what breaks one
catalogue   a tenant's event types: declared, found in use, checked by
ingest      batches from outside: validate, de-duplicate, write
lines       a stream of events of any length, written in parts
strict      JSON as strictly as the trail needs it
wire        an event as it is written over HTTP
replay      the Idempotency-Key of a request
importers   other products' events, one format for each file
sql         DDL and named queries
"""
