"""Groups: what is kept of each, all of which goes with its chat.

groups   who we are in a group, and its settings        members  all of them, in pages
events   the membership log                             epochs   keys, sender chains, skipped keys
items    what was seen, waits, and is to be passed on
joins    becoming a member: offers, and keys made for them
"""
