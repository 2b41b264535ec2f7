"""Encodings of keys: none."""
