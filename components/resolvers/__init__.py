"""Resolver strategies: find the last released model and its statistics in ML Metadata."""
