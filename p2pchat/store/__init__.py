"""A profile's data on disk: one SQLCipher database, and the only SQL of the node.

Everything here is synchronous functions over a `Database`. None of them opens a transaction except `Database` itself:
the caller decides what belongs together, writes it under `db.transaction()`, and releases nothing before that returns
(the journal rule). The engine guarantees that one thread at a time uses a `Database`.

To look up one thing by its id, `get` returns None if there is nothing; `find` takes what a user typed, and raises.

database    the connection, its settings, transactions, migrations      keys       the file that holds the database key
contacts    people                                                      devices    those of contacts: keys, addresses
chats       members, settings, what is unread                           facts      what else is known of a contact
messages    texts and their order                                       deliveries a message with many recipients
mentions     whom the texts of groups mention
remarks     edits, reactions, pins and deletions of messages            waiting    remarks that came before the message
clearing    deleting all of a chat, some at a time             files      those of messages, and what is here of them
timers      when timed messages and drafts end                 renewals   renewing the session, by device
sessions    ratchet states and skipped keys, by device                  outbox     what is not confirmed as delivered
relays      those that store envelopes for this profile                 queues     ours and theirs, at relays
deposits    which rows of the outbox are in which queue                 envelopes  ids of those that were received
prekeys     our prekey secrets, first messages that were accepted        invites    invites we made
instance    which copy of the profile this is                           meta       single values
search      finding messages; search_query: its language, search_index: what is indexed, snippets: where it matched
sending_chains  what rows are sealed again with           partners        who is on the other side of a chat
known_relays  relays that others told of                      groups     members, logs, epochs and items of groups
channels    feeds of channels, and who we are there
text_folding  one spelling per word, for searching            search_backlog  messages not yet in the search index
file_space  the sealed files of a profile, which lie beside the database; file_blobs: what of our files is sent
salvage     a new database of everything readable in a damaged one
"""
