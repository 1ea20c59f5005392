"""`python -m homunculus` is the `homunculus` command."""

from __future__ import annotations

from homunculus.cli import main

if __name__ == "__main__":
    main()
