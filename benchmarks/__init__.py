"""Benchmarks: one command for each claim about speed, size or accuracy."""
