"""Clause by clause: what the laws on marking AI-made media ask of a file, and whether it has it.

An engineering reading, not legal advice. One file a law; :mod:`.check` runs them.
"""
