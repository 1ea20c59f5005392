"""Measures what `design/targets.md` promises: `python -m tests.bench`. Never part of a test run, never a verdict on its own.

Machines are noisy, so most figures are CPU time or a ratio between two programs in one run, and medians of several rounds.
"""
