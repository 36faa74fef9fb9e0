"""Errors, progress, threads, child processes, library versions, and the digest of the code."""
