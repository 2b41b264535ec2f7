"""Measurements of the real program: separate processes, real sockets, every commit on disk. `python -m benchmarks`."""
