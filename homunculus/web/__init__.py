"""The HTTP side: API, pages, server-sent events, and the server that carries them.

Owns what crosses HTTP and nothing behind it: everything it shows or does comes from the callables of `running.Running`.
"""
