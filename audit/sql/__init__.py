"""DDL of the trails. It stands here once; the migrations of audit and subscriptions load it."""
