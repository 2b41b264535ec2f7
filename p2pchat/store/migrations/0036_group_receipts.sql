-- Whether members who are contacts are told which of their messages we have read.
ALTER TABLE groups ADD COLUMN receipts INTEGER NOT NULL DEFAULT 0;

-- Which messages of a member we have read while that was on, by their numbers (`seq`), and whether the member was told.
CREATE TABLE group_reads (
    chat BLOB NOT NULL REFERENCES groups (chat) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    member BLOB NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    told INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (chat, member)
) STRICT, WITHOUT ROWID;

-- Which messages of ours a member says to have read.
CREATE TABLE group_seen (
    chat BLOB NOT NULL REFERENCES groups (chat) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    member BLOB NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (chat, member)
) STRICT, WITHOUT ROWID;
