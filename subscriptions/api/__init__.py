"""Subscriptions and the platform log over HTTP, for staff."""
