"""Beam: flags for each engine, checks before a run, readable failures."""
