"""Adapters to other packages, which are imported by whoever uses them, and by nothing here."""
