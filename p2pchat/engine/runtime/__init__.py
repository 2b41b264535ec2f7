"""What the rest of the engine is built on: transactions, timers, events, clocks, settings.

committer       gathers inputs, and commits each batch in one transaction
inbox           the inputs that wait for a transaction
transaction     what a function of the engine works with
effects         what happens after the commit
worker          runs transactions in a thread, or at once if they are short
session_cache   ratchet sessions in memory
skip_budget     how much work with skipped keys a contact may cause
group_limits    how much work for nothing a member of a group may cause
storage_limits  how much a contact may store here
withholding     leaving mail where it is while there is no room
clock_watch     whether the clock can be trusted
clock_hints     what messages reveal about the clock
timers          waking something after a while
events          events for faces
views           rows as faces get them
naming          by which names those are shown who wrote a message
message_ids     ids that always grow
settings        the user's settings in the profile
"""
