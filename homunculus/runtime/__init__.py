"""The running program: one owner of every live thing, one plan at a time. Owns no settings and no platform's knowledge."""
