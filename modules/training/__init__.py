"""Two-phase training: batches, cached features, checkpoints, devices, losses, baselines."""
