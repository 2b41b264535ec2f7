"""Groups: the membership log at work, and what is written under its epochs.

settle     at the end of each transaction: what came, and what is to be sent
receive    takes an item: a message, an event, or a part of one
opening    opens items that came together, and verifies their messages
gathered_texts shows texts that came together
item_batch what taking items needs, read and written for many of them together
adopting   what an event changes: members, settings, epochs
history    the membership logs, as values
changes    what we change: founding, adding, removing, roles, settings, leaving
past      what was written before somebody joined
links     invites to a group, and who uses one
own_invites  ours to a group, where they end
joining    becoming a member: offer, keys, welcome
welcoming  tells new members what they need
upkeep     what is due as time passes
own_keys   replaces our keys of encryption every month
catching_up  back into a group that we cannot read any more
duties     new keys, where they are due and it is our turn
siblings   tells those whom we added what they cannot read
sending    seals our contents under the right epoch
transcript names in our messages what we have seen, and reads that in those of others
gaps       messages that have not arrived: shown, and asked for
receipts   how many have read what we wrote, and telling others what we read
carriage   carries items by every way
pairwise   the way to members who are contacts
reach      which members these are
recovery   what is asked about a lost owner, in sentences
recovery_actions names who may replace a lost owner, asks for it and confirms it
succession founds a group in the place of another
permission who may do what, in words
notices    lines in the chat about what was done
summary    a group as faces see it
logs       which logs at relays a group has, and what waits for them
log_duties what comes of logs, and whose relays have them
log_carrier reads logs and appends to them
log_intake  how much of them a relay may bring in a day
wording    events as sentences
"""
