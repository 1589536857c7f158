"""Checks of a prompt: normalise it into several views, then look for what packs rule on.

The protocol others implement is ``PromptCheck`` in ``check.py``; ``default_prompt_checks`` makes ours.
"""
