"""Small things that many parts need and no library has: back-off, token buckets, files written whole.

Nothing here knows anything about p2pchat.
"""
