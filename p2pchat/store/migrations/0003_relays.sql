-- The relays that keep envelopes for us, best first. `addresses`: packed addresses, best first, as canonical msgpack. `kept` is 0 for
-- one of a single run.
CREATE TABLE relays (
    number INTEGER PRIMARY KEY,
    peer BLOB NOT NULL UNIQUE,
    addresses BLOB NOT NULL,
    token BLOB NOT NULL,
    kept INTEGER NOT NULL,
    added_at INTEGER NOT NULL
) STRICT;

-- Where we collect: a contact's queues, and those of our invites. Each says where its relay is, since it is read for a
-- while after we left that. `read_until` is NULL while others are told to deposit in it. The put key of an invite's
-- comes from its secret: only its public half is kept.
CREATE TABLE own_queues (
    qid BLOB NOT NULL,
    contact BLOB REFERENCES contacts (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
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
    PRIMARY KEY (relay, qid),
    CHECK ((contact IS NULL) <> (invite IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX own_queues_by_contact ON own_queues (contact);
CREATE INDEX own_queues_by_invite ON own_queues (invite);

-- Where we deposit: the queues that a contact announced, the one that takes our first message for their invite, and the
-- boxes of our own invites.
CREATE TABLE their_queues (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    contact BLOB REFERENCES contacts (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    invite BLOB REFERENCES invites (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    relay BLOB NOT NULL,
    address BLOB NOT NULL,
    token BLOB NOT NULL,
    fetch BLOB NOT NULL,
    put_seed BLOB NOT NULL,
    flags INTEGER NOT NULL,
    until INTEGER NOT NULL,
    CHECK ((contact IS NULL) <> (invite IS NULL))
) STRICT;
CREATE INDEX their_queues_by_contact ON their_queues (contact);
CREATE INDEX their_queues_by_invite ON their_queues (invite);

-- What lies at relays: an envelope of the outbox in a queue, there until `until`; deposited again from `next_try` on.
CREATE TABLE deposits (
    outbox INTEGER NOT NULL REFERENCES outbox (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    queue INTEGER NOT NULL REFERENCES their_queues (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    until INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_try INTEGER NOT NULL,
    PRIMARY KEY (outbox, queue)
) STRICT, WITHOUT ROWID;
CREATE INDEX deposits_by_queue ON deposits (queue);

-- A receipt that travels by a relay waits for others: until then it is owed, and its `receipt_at` is NULL.
CREATE INDEX envelopes_owed ON envelopes_seen (contact) WHERE receipt_at IS NULL AND msg_id IS NOT NULL;

-- What contacts told about themselves last is remembered for each kind of news.
INSERT INTO meta (key, value)
    SELECT 'told ' || news.kind || substr(key, 5), value
    FROM meta, (SELECT 'name' AS kind UNION ALL SELECT 'ways') AS news
    WHERE key LIKE 'told %';
DELETE FROM meta WHERE key LIKE 'told %' AND key NOT LIKE 'told name %' AND key NOT LIKE 'told ways %';
