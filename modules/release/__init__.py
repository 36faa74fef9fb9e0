"""Releases: both models of a run under one number, and the marker that readers rely on."""
