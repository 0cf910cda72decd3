"""The trail over HTTP, version 1."""
