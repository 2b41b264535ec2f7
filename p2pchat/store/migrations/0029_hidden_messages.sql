-- Who has hidden a message of a group for all, and why; `sender` and `id` as in pins. Its text is gone with that.
CREATE TABLE hidings (
    message INTEGER PRIMARY KEY REFERENCES messages (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    sender BLOB NOT NULL,
    id BLOB NOT NULL,
    reason TEXT NOT NULL
) STRICT;
