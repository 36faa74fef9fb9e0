"""Resolver strategies: find the last blessed model and its statistics in ML Metadata."""
