"""Saves of every kind, an oracle that knows what was written, and a driver that compares. Shared with tests/soak."""
