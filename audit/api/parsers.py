"""JSON as strictly as the trail needs it."""
