"""The stages a turn goes through, one a file: gate · history · prompt · complete · deliver.

A stage reads the turn, does one thing, and writes what it found back into it. None knows a platform, a database or
another stage.
"""
