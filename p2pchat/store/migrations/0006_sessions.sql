-- How it stands with the renewal of the session with a contact; see `store.renewals`. Times are NULL where nothing happened.
CREATE TABLE renewals (
    contact BLOB PRIMARY KEY REFERENCES contacts (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    wanted_at INTEGER,
    unread_at INTEGER,
    asked_at INTEGER,
    said_at INTEGER,
    requested_at INTEGER,
    asks_until INTEGER NOT NULL,
    answers_until INTEGER NOT NULL,
    offered_at INTEGER,
    offered INTEGER,
    replaced BLOB NOT NULL,
    began_anew BLOB NOT NULL,
    lately BLOB NOT NULL,
    told_at INTEGER
) STRICT, WITHOUT ROWID;
DELETE FROM meta WHERE key LIKE 'renewal %' OR key LIKE 'renewed %';

-- A first message that renews is of no use longer than the bundle it was made for.
UPDATE outbox SET expires_at = min(expires_at, created_at + 3600000) WHERE kind = 101;
