"""Files and folders, local or behind a URL: safe reads, digests, atomic versions."""
