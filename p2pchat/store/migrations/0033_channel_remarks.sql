-- What the writer of a feed said later about a post that is not here: `body`, a new text, or NULL, that it is withdrawn. `number`, `hash`: of the
-- post that said so, the newest.
CREATE TABLE channel_remarks (
    feed INTEGER NOT NULL REFERENCES channel_feeds (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    message BLOB NOT NULL,
    number INTEGER NOT NULL,
    hash BLOB NOT NULL,
    at INTEGER NOT NULL,
    body TEXT,
    PRIMARY KEY (feed, message)
) STRICT, WITHOUT ROWID;
