"""Groups: what is kept of each, all of which goes with its chat.

groups   who we are in a group, and its settings        members  all of them, in pages
events   the membership log                             epochs   keys, sender chains, skipped keys
records  messages as signed, for newcomers
transcript  the newest messages as they came           gaps     messages that have not arrived
links    invites of ours to groups, and who uses them    chain_starts  chains that nobody has used yet
items    what was seen, waits, and is to be passed on
receipts  who has read what
logs     logs at relays, and what is to be put there
leaves   our keys of encryption before the present ones
joins    becoming a member: offers, and keys made for them
"""
