"""Row-level security and grants of the shared tables of this application."""
