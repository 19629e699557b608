"""Runs on this host's accelerators or on a cluster. Nothing here imports JAX before a worker does."""
