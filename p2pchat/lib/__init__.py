"""Small things that many parts need and no library has. Nothing here knows anything about p2pchat.

atomic_file   files that are whole or not there         backoff   how long to wait between attempts that fail
token_bucket  how much of something is allowed now      times     hours and days in milliseconds and in seconds
wakeup        an event of trio that can be armed again
"""
