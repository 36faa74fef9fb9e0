"""Run on this machine: checks before anything starts, the runner, its observation."""
