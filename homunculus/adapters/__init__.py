"""The platforms that come with the program: one package each, found by entry point, blind to one another."""
