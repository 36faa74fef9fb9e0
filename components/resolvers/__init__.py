"""Find the last blessed model and its statistics in ML Metadata."""
