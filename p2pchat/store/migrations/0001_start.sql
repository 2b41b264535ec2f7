-- Times are milliseconds since the epoch. Ids are bytes. A boolean is 0 or 1.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE contacts (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    named_by_me INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'request', 'contact', 'blocked')),
    identity BLOB UNIQUE,
    device BLOB,
    bundle BLOB,
    verified INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    heard_at INTEGER,
    invite BLOB,
    invite_until INTEGER,
    invite_id BLOB,
    read_receipts INTEGER NOT NULL,
    profile_name TEXT NOT NULL
) STRICT;

CREATE TABLE ways (
    contact BLOB NOT NULL REFERENCES contacts (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    peer BLOB NOT NULL,
    address BLOB NOT NULL,
    role INTEGER NOT NULL,
    learned_at INTEGER NOT NULL,
    PRIMARY KEY (contact, peer, address)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    th BLOB PRIMARY KEY,
    contact BLOB NOT NULL REFERENCES contacts (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    initiator INTEGER NOT NULL,
    pair_root BLOB NOT NULL,
    sas BLOB NOT NULL,
    state BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    confirmed INTEGER NOT NULL,
    receive_until INTEGER,
    pending INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_contact ON sessions (contact);

CREATE TABLE skipped_keys (
    th BLOB NOT NULL REFERENCES sessions (th) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    chain INTEGER NOT NULL,
    n INTEGER NOT NULL,
    key BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (th, chain, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE invites (
    id BLOB PRIMARY KEY,
    kind INTEGER NOT NULL,
    secret BLOB,
    hello BLOB NOT NULL,
    bundle BLOB,
    expires_at INTEGER NOT NULL,
    ask INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'used', 'expired')),
    created_at INTEGER NOT NULL,
    encoded BLOB,
    opk_id INTEGER,
    okpk_id INTEGER
) STRICT;

CREATE TABLE prekeys (
    kind TEXT NOT NULL CHECK (kind IN ('one-time', 'rotation', 'renewal')),
    id INTEGER NOT NULL,
    secret BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    delete_at INTEGER,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

-- First messages already accepted: without this a replayed one would be accepted again.
CREATE TABLE handshakes (
    th BLOB PRIMARY KEY,
    contact BLOB,
    forget_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `sender` is x'' for us, else the contact. `place` orders a screen: the row's own pk, or for a message that came late
-- the place of the same sender's message it belongs before. AUTOINCREMENT, so that a pk is never given twice and a
-- reader that remembers the last pk it saw misses nothing after a delete.
CREATE TABLE messages (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL,
    chat BLOB NOT NULL,
    sender BLOB NOT NULL,
    kind INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    place INTEGER NOT NULL,
    sent_at INTEGER NOT NULL,
    received_at INTEGER,
    state TEXT NOT NULL,
    route TEXT,
    stored_at INTEGER,
    delivered_at INTEGER,
    read_at INTEGER,
    text TEXT NOT NULL, -- last, so that nobody pages through it on the way to a state
    -- id first: the same index then also finds a message by its id or the beginning of it
    UNIQUE (id, chat, sender)
) STRICT;
CREATE INDEX messages_in_order ON messages (chat, place, seq);
CREATE INDEX messages_by_seq ON messages (chat, sender, seq, place);

-- The index keeps no text, and removing a row from it needs the indexed text again. Its own secure-delete is needed
-- beside the database's: without it deleted words stay in its segments. contentless_delete=1 would be handier, and
-- leaves them there in spite of secure-delete.
CREATE VIRTUAL TABLE messages_fts USING fts5 (
    text, content = '', tokenize = "unicode61 remove_diacritics 2 categories 'L* N* M* Co'"
);
INSERT INTO messages_fts (messages_fts, rank) VALUES ('secure-delete', 1);

-- What was deleted here: so that it does not count as missing, its number is not used again, and the same message
-- sealed anew by its sender does not come back. `mark` is a hash of the id, since the id holds a time.
CREATE TABLE erased (
    chat BLOB NOT NULL,
    sender BLOB NOT NULL,
    seq INTEGER NOT NULL,
    mark BLOB NOT NULL,
    PRIMARY KEY (chat, sender, seq, mark)
) STRICT, WITHOUT ROWID;

-- The two big columns are last: looking for what is due does not read them.
CREATE TABLE outbox (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    contact BLOB NOT NULL,
    kind INTEGER NOT NULL,
    msg_id BLOB,
    envelope_id BLOB,
    th BLOB,
    created_at INTEGER NOT NULL,
    acked_at INTEGER,
    attempts INTEGER NOT NULL,
    next_try INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    content BLOB,
    envelope BLOB
) STRICT;
CREATE INDEX outbox_by_contact ON outbox (contact);
CREATE INDEX outbox_by_message ON outbox (msg_id) WHERE msg_id IS NOT NULL;
CREATE UNIQUE INDEX outbox_by_envelope ON outbox (envelope_id) WHERE envelope_id IS NOT NULL;

CREATE TABLE envelopes_seen (
    id BLOB PRIMARY KEY,
    contact BLOB NOT NULL,
    msg_id BLOB,
    at INTEGER NOT NULL,
    receipt_at INTEGER
) STRICT, WITHOUT ROWID;
