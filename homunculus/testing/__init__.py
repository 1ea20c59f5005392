"""Loopback servers and contracts that ship with Homunculus, for its own tests and yours.

Owns nothing itself: each platform is a module or package here. Never imported by production code.
"""
