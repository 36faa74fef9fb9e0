"""Check this machine before a run: what a run needs, what would be missing later, and the remedy for each."""
