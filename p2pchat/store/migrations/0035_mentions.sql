-- Whom a text of a group mentions, as its author says: the id of a member, and the words that stand for it behind an @.
CREATE TABLE mentions (
    message INTEGER NOT NULL REFERENCES messages (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    member BLOB NOT NULL,
    words TEXT NOT NULL,
    PRIMARY KEY (message, member, words)
) STRICT, WITHOUT ROWID;
