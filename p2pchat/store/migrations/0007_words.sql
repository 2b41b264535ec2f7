-- Texts that failed at their deadline. Where the clock turns out to have been ahead, they are taken up again.
CREATE TABLE failed_in_time (
    chat BLOB NOT NULL REFERENCES contacts (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    msg_id BLOB NOT NULL,
    failed_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (chat, msg_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX failed_in_time_by_time ON failed_in_time (failed_at);

-- A contact can leave a number out and use it later: such a message stands where it belongs, and came after our answer.
ALTER TABLE messages ADD COLUMN late INTEGER NOT NULL DEFAULT 0;

-- How many first messages an invite has taken on one day, and whom a person has declined who came by it.
ALTER TABLE invites ADD COLUMN admitted_on INTEGER NOT NULL DEFAULT 0;
ALTER TABLE invites ADD COLUMN admitted INTEGER NOT NULL DEFAULT 0;
CREATE TABLE declined (
    invite BLOB NOT NULL REFERENCES invites (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    identity BLOB NOT NULL,
    PRIMARY KEY (invite, identity)
) STRICT, WITHOUT ROWID;
