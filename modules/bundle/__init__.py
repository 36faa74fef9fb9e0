"""The edge bundle that a mobile engineer receives: write it, verify it, run its models, sign it."""
