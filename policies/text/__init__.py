"""Checks of a prompt: normalise it into several views, then look for what packs rule on."""
