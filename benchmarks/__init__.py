"""Measurements of jaxseg against named peers: `python -m benchmarks`, or one of them: `python -m benchmarks.NAME`."""
