"""From entries to a line of positions: what a trail is numbered by."""
