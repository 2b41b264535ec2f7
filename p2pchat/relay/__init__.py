"""The headless relay: a mailbox for people who are away, and circuits between people who cannot reach each other.

It has no account, no name and no key of anybody. What it keeps is in `store`, what it decides in `mailbox`.
"""
