-- What a row of the outbox is had shared its numbers with the types of contents. Now it is a column of its own, before the
-- two big ones; `kind` is the type of a content, and NULL in rows that hold none. Both tables are made anew, since to drop
-- `outbox` alone would delete what is deposited.
CREATE TABLE outbox_new (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    contact BLOB NOT NULL,
    form TEXT NOT NULL CHECK (form IN ('content', 'initial', 'renewal', 'request', 'box')),
    kind INTEGER,
    msg_id BLOB,
    envelope_id BLOB,
    th BLOB,
    created_at INTEGER NOT NULL,
    acked_at INTEGER,
    attempts INTEGER NOT NULL,
    next_try INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    content BLOB,
    envelope BLOB,
    CHECK ((form = 'content') = (kind IS NOT NULL))
) STRICT;
INSERT INTO outbox_new
    SELECT pk, contact,
        CASE kind WHEN 100 THEN 'initial' WHEN 101 THEN 'renewal' WHEN 102 THEN 'box' WHEN 103 THEN 'request'
            ELSE 'content' END,
        CASE WHEN kind NOT BETWEEN 100 AND 103 THEN kind END,
        msg_id, envelope_id, th, created_at, acked_at, attempts, next_try, expires_at, content, envelope
    FROM outbox;
CREATE TABLE deposits_new (
    outbox INTEGER NOT NULL REFERENCES outbox_new (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    queue INTEGER NOT NULL REFERENCES their_queues (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    until INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_try INTEGER NOT NULL,
    PRIMARY KEY (outbox, queue)
) STRICT, WITHOUT ROWID;
INSERT INTO deposits_new SELECT outbox, queue, until, attempts, next_try FROM deposits;

-- A pk is never given twice: the numbering goes on, also where nothing waits.
DELETE FROM sqlite_sequence WHERE name = 'outbox_new';
INSERT INTO sqlite_sequence (name, seq) SELECT 'outbox_new', seq FROM sqlite_sequence WHERE name = 'outbox';

DROP TABLE deposits;
DROP TABLE outbox;
ALTER TABLE outbox_new RENAME TO outbox;
ALTER TABLE deposits_new RENAME TO deposits;
CREATE INDEX outbox_by_contact ON outbox (contact);
CREATE INDEX outbox_by_message ON outbox (msg_id) WHERE msg_id IS NOT NULL;
CREATE UNIQUE INDEX outbox_by_envelope ON outbox (envelope_id) WHERE envelope_id IS NOT NULL;
CREATE INDEX outbox_by_expiry ON outbox (expires_at);
CREATE INDEX deposits_due ON deposits (queue, next_try);
