"""What a profile keeps on disk: one SQLCipher database, and the only SQL of the node.

Everything here is synchronous functions over a `Database`. Nothing opens a transaction of its own except `Database`
itself: the caller decides what belongs together, writes it under `db.transaction()`, and lets nothing out before that
returns (the journal rule). The engine guarantees that one thread at a time uses a `Database`.

Of one thing by its id, `get` and `one` give None where there is nothing; `find` takes what a person typed and raises.

database    the connection, its settings, transactions, migrations      keys       the file that holds the database key
contacts    people                                                      devices    those of contacts: keys, addresses
chats       who is in one, what is set for it, what is unread           facts      what else is known of a contact
messages    what was said, its order                                    deliveries a message with many recipients
remarks     edits, reactions, pins and deletions of messages            waiting    what came before its message
clearing    deleting all of a chat, some at a time
timers      what ends when, by the clock that counts it                 renewals   beginning sessions anew, by device
sessions    ratchet states and skipped keys, by device                  outbox     what is not yet known to be delivered
relays      those that keep envelopes for this profile                  queues     ours and theirs, at relays
deposits    what of the outbox lies in which queue                      envelopes  what arrived already
prekeys     our prekey secrets, first messages already accepted         invites    invites we made
instance    which copy of the profile this is                           meta       single values
search      finding messages; search_query: its language, search_index: what is indexed, snippets: where it matched
sending_chains  what the outbox is sealed again with          partners        who is on the other side of a chat
text_folding  one spelling per word, for searching            search_backlog  what the search index has still to take in
salvage     a new database of what can be read of a damaged one
"""
