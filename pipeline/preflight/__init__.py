"""Checks before a run: everything that can be found wrong in seconds, before TFX is even imported."""
