"""Long variants of tests: `python -m tests.soak reload --edits 100000`, `python -m tests.soak saves --edits 3000`."""
