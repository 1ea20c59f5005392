"""The models an NPC may think with, one provider a module. Owns no prompt and no cleaning of answers: that is the pipeline's.

Each module exports a `Provider`, named by an entry point; importing one costs nothing heavy.
"""
