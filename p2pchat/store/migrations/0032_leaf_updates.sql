-- When we replace our keys of encryption in a group (ms); 0: that is yet to be chosen. `admin_seed`: the key with which admins append to its
-- logs, kept when the leaf is replaced to which it was sealed.
ALTER TABLE groups ADD COLUMN update_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE groups ADD COLUMN admin_seed BLOB NOT NULL DEFAULT x'';

-- The private keys of encryption that we had in a group before the present ones. `until`: when they are deleted (ms).
CREATE TABLE group_leaves (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    chat BLOB NOT NULL REFERENCES groups (chat) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    leaf_seed BLOB NOT NULL,
    kem_seed BLOB,
    until INTEGER NOT NULL
) STRICT;
CREATE INDEX group_leaves_by_chat ON group_leaves (chat);
