-- A chat is a row, whoever is in it; a person is not their device; what is known of a contact is a row, not a key of
-- `meta`. Tables whose references change are made anew with their children: to drop a parent alone would delete these.

-- A direct chat has the id of its contact. `pinned` is its place among those that are pinned, or NULL; `muted_until` a
-- time, 0 where nothing is muted. The timer is how long messages stay, as agreed: seconds, 0 for ever; who set it (as
-- `messages.sender`), when, and the id of the content that said so, NULL where nobody did.
CREATE TABLE chats (
    id BLOB PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('direct', 'notes', 'group', 'channel')),
    created_at INTEGER NOT NULL,
    draft TEXT NOT NULL DEFAULT '',
    draft_expires_at INTEGER,
    muted_until INTEGER NOT NULL DEFAULT 0,
    archived INTEGER NOT NULL DEFAULT 0,
    pinned INTEGER,
    timer_seconds INTEGER NOT NULL DEFAULT 0,
    timer_by BLOB,
    timer_at INTEGER,
    timer_id BLOB
) STRICT;
INSERT INTO chats (id, kind, created_at, draft, draft_expires_at, timer_seconds, timer_by, timer_at, timer_id)
    SELECT contacts.id, 'direct', contacts.created_at, coalesce(drafts.text, ''), drafts.expires_at,
        coalesce(timers.seconds, 0), timers.sender, timers.at, timers.id
    FROM contacts LEFT JOIN drafts ON drafts.chat = contacts.id LEFT JOIN timers ON timers.chat = contacts.id
    ORDER BY contacts.rowid;
DROP TABLE drafts;
DROP TABLE timers;
CREATE INDEX chats_draft_ending ON chats (draft_expires_at) WHERE draft_expires_at IS NOT NULL;

-- The chat with oneself is there from the beginning.
INSERT INTO chats (id, kind, created_at) VALUES (zeroblob(8), 'notes', 0);
CREATE UNIQUE INDEX chats_notes ON chats (kind) WHERE kind = 'notes';

-- Who is in a chat besides us.
CREATE TABLE chat_members (
    chat BLOB NOT NULL REFERENCES chats (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    contact BLOB NOT NULL REFERENCES contacts (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    joined_at INTEGER NOT NULL,
    PRIMARY KEY (chat, contact)
) STRICT, WITHOUT ROWID;
CREATE INDEX chat_members_by_contact ON chat_members (contact);
INSERT INTO chat_members (chat, contact, joined_at) SELECT id, id, created_at FROM contacts;

-- The first device of a contact has the id of the contact. `key` and `bundle` are NULL until they are known.
CREATE TABLE devices (
    id BLOB PRIMARY KEY,
    contact BLOB NOT NULL REFERENCES contacts (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    key BLOB,
    bundle BLOB,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX devices_by_contact ON devices (contact);
INSERT INTO devices (id, contact, key, bundle, created_at)
    SELECT id, id, device, bundle, created_at FROM contacts ORDER BY rowid;
ALTER TABLE contacts DROP COLUMN device;
ALTER TABLE contacts DROP COLUMN bundle;

-- Sessions belong to a device.
CREATE TABLE sessions_new (
    session_id BLOB PRIMARY KEY,
    device BLOB NOT NULL REFERENCES devices (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    initiator INTEGER NOT NULL,
    pair_root BLOB NOT NULL,
    sas BLOB NOT NULL,
    state BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    confirmed INTEGER NOT NULL,
    receive_until INTEGER,
    pending INTEGER NOT NULL
) STRICT;
INSERT INTO sessions_new
    SELECT session_id, contact, initiator, pair_root, sas, state, created_at, confirmed, receive_until, pending
    FROM sessions WHERE contact IN (SELECT id FROM devices) ORDER BY rowid;
CREATE TABLE skipped_keys_new (
    session_id BLOB NOT NULL REFERENCES sessions_new (session_id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    chain INTEGER NOT NULL,
    n INTEGER NOT NULL,
    key BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (session_id, chain, n)
) STRICT, WITHOUT ROWID;
INSERT INTO skipped_keys_new SELECT session_id, chain, n, key, at FROM skipped_keys
    WHERE session_id IN (SELECT session_id FROM sessions_new);
DROP TABLE skipped_keys;
DROP TABLE sessions;
ALTER TABLE sessions_new RENAME TO sessions;
ALTER TABLE skipped_keys_new RENAME TO skipped_keys;
CREATE INDEX sessions_by_device ON sessions (device);
CREATE INDEX sessions_ending ON sessions (receive_until) WHERE receive_until IS NOT NULL;
CREATE INDEX sessions_live ON sessions (device, confirmed) WHERE receive_until IS NULL AND NOT pending;
CREATE INDEX skipped_by_time ON skipped_keys (at);

-- So do queues, unless they are those of an invite.
CREATE TABLE own_queues_new (
    qid BLOB NOT NULL,
    device BLOB REFERENCES devices (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    invite BLOB REFERENCES invites (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    relay BLOB NOT NULL,
    addresses BLOB NOT NULL,
    token BLOB NOT NULL,
    fetch_seed BLOB NOT NULL,
    put BLOB NOT NULL,
    put_seed BLOB,
    flags INTEGER NOT NULL,
    made_at INTEGER NOT NULL,
    read_until INTEGER,
    chosen INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (relay, qid),
    CHECK ((device IS NULL) <> (invite IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO own_queues_new
    SELECT qid, contact, invite, relay, addresses, token, fetch_seed, put, put_seed, flags, made_at, read_until, chosen
    FROM own_queues WHERE contact IN (SELECT id FROM devices) OR invite IN (SELECT id FROM invites);
DROP TABLE own_queues;
ALTER TABLE own_queues_new RENAME TO own_queues;
CREATE INDEX own_queues_by_device ON own_queues (device);
CREATE INDEX own_queues_by_invite ON own_queues (invite);
CREATE INDEX own_queues_retired ON own_queues (read_until) WHERE read_until IS NOT NULL;

CREATE TABLE their_queues_new (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device BLOB REFERENCES devices (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    invite BLOB REFERENCES invites (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    relay BLOB NOT NULL,
    address BLOB NOT NULL,
    token BLOB NOT NULL,
    fetch BLOB NOT NULL,
    put_seed BLOB NOT NULL,
    flags INTEGER NOT NULL,
    until INTEGER NOT NULL,
    CHECK ((device IS NULL) <> (invite IS NULL))
) STRICT;
INSERT INTO their_queues_new
    SELECT id, contact, invite, relay, address, token, fetch, put_seed, flags, until
    FROM their_queues WHERE contact IN (SELECT id FROM devices) OR invite IN (SELECT id FROM invites);
CREATE TABLE deposits_new (
    outbox INTEGER NOT NULL REFERENCES outbox (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    queue INTEGER NOT NULL REFERENCES their_queues_new (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    until INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_try INTEGER NOT NULL,
    PRIMARY KEY (outbox, queue)
) STRICT, WITHOUT ROWID;
INSERT INTO deposits_new SELECT outbox, queue, until, attempts, next_try FROM deposits
    WHERE queue IN (SELECT id FROM their_queues_new);
-- An id is never given twice: the numbering goes on.
DELETE FROM sqlite_sequence WHERE name = 'their_queues_new';
INSERT INTO sqlite_sequence (name, seq) SELECT 'their_queues_new', seq FROM sqlite_sequence WHERE name = 'their_queues';
DROP TABLE deposits;
DROP TABLE their_queues;
ALTER TABLE their_queues_new RENAME TO their_queues;
ALTER TABLE deposits_new RENAME TO deposits;
CREATE INDEX their_queues_by_device ON their_queues (device);
CREATE INDEX their_queues_by_invite ON their_queues (invite);
CREATE INDEX their_queues_by_end ON their_queues (until);
CREATE INDEX deposits_due ON deposits (queue, next_try);

-- What waits is for a device; a box is for an invite.
ALTER TABLE outbox RENAME COLUMN contact TO recipient;
DROP INDEX outbox_by_contact;
CREATE INDEX outbox_by_recipient ON outbox (recipient);

-- How a message of ours does with each device, where it has more recipients than one; the message itself has the least of
-- these states. A message in a direct chat has its only one in its row.
CREATE TABLE deliveries (
    message INTEGER NOT NULL REFERENCES messages (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    device BLOB NOT NULL REFERENCES devices (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    state TEXT NOT NULL,
    route TEXT,
    stored_at INTEGER,
    delivered_at INTEGER,
    read_at INTEGER,
    PRIMARY KEY (message, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_by_device ON deliveries (device);

-- Texts that failed at their deadline belong to a chat.
CREATE TABLE failed_in_time_new (
    chat BLOB NOT NULL REFERENCES chats (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    msg_id BLOB NOT NULL,
    failed_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (chat, msg_id)
) STRICT, WITHOUT ROWID;
INSERT INTO failed_in_time_new SELECT chat, msg_id, failed_at, expires_at FROM failed_in_time
    WHERE chat IN (SELECT id FROM chats);
DROP TABLE failed_in_time;
ALTER TABLE failed_in_time_new RENAME TO failed_in_time;
CREATE INDEX failed_in_time_by_time ON failed_in_time (failed_at);

-- What is known of a contact, one value a row; `store.facts` names them. It goes with the contact.
CREATE TABLE contact_facts (
    contact BLOB NOT NULL REFERENCES contacts (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    fact TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (contact, fact)
) STRICT, WITHOUT ROWID;
CREATE INDEX contact_facts_by_fact ON contact_facts (fact);
INSERT INTO contact_facts (contact, fact, value)
    SELECT contacts.id, substr(meta.key, 1, length(meta.key) - 17), meta.value
    FROM meta JOIN contacts ON contacts.id = unhex(substr(meta.key, -16))
    WHERE meta.key LIKE '% ________________';
DELETE FROM meta WHERE key LIKE '% ________________' AND unhex(substr(key, -16)) IS NOT NULL;
