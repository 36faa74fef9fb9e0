"""Errors, progress reporting, threads, child processes, library versions and the code digest."""
