"""Files and folders on this machine or behind a URL: safe reads, digests, atomic versions."""
