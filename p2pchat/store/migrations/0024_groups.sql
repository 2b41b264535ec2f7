-- Since when a group can only be read, because we are not in it any more.
ALTER TABLE chats ADD COLUMN ended_at INTEGER;

-- A group: its chat, and who we are in it. `member`: our id there. `role`: ours, a number of `core.groups.roles`. `settings`: those of the
-- group's newest state, as canonical msgpack; `heads`: the ids of the newest events. `epoch`: the one under which we send, or NULL while there is none.
CREATE TABLE groups (
    chat BLOB NOT NULL PRIMARY KEY REFERENCES chats (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    group_id BLOB NOT NULL UNIQUE,
    member BLOB NOT NULL,
    sign_seed BLOB NOT NULL,
    leaf_seed BLOB NOT NULL,
    kem_seed BLOB,
    name TEXT NOT NULL,
    role INTEGER NOT NULL,
    settings BLOB NOT NULL,
    heads BLOB NOT NULL,
    epoch BLOB,
    joined_at INTEGER NOT NULL,
    problem TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- The members, ourselves too, as the newest state of the group's log has them. `name`: the one that a member chose, cleaned, and `folded`
-- for searching. `alike`: the name that is shown, of which all that look like it make the same. `contact`: the contact who said that it is they. `head`: the newest event that a message of theirs says that they know.
CREATE TABLE group_members (
    chat BLOB NOT NULL REFERENCES groups (chat) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    alike TEXT NOT NULL,
    role INTEGER NOT NULL,
    sign BLOB NOT NULL,
    leaf BLOB NOT NULL,
    kem BLOB,
    contact BLOB REFERENCES contacts (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    head BLOB,
    gone INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (chat, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_members_in_order ON group_members (chat, gone, role, folded, id);
CREATE INDEX group_members_by_alike ON group_members (chat, alike);
CREATE INDEX group_members_by_contact ON group_members (contact) WHERE contact IS NOT NULL;

-- The log of each group, in the order in which its events came: the exact bytes of each, without its rekey.
CREATE TABLE group_events (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    chat BLOB NOT NULL REFERENCES groups (chat) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    id BLOB NOT NULL,
    event BLOB NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE (chat, id)
) STRICT;

-- Epochs of which keys are here. The epoch secret itself is in no table. `before`: the epoch from which it went on. `join_key` and `exporter`
-- lead to those that go on from it, and are deleted before the rest.
CREATE TABLE group_epochs (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    chat BLOB NOT NULL REFERENCES groups (chat) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    id BLOB NOT NULL,
    before BLOB,
    tag BLOB NOT NULL,
    header BLOB NOT NULL,
    topic BLOB NOT NULL,
    join_key BLOB,
    exporter BLOB,
    adopted_at INTEGER NOT NULL,
    UNIQUE (chat, id)
) STRICT;
CREATE INDEX group_epochs_by_tag ON group_epochs (tag);

-- The chain of each sender in an epoch: the number of its next message, and the key that leads to it; and the keys of messages that were
-- passed over.
CREATE TABLE group_chains (
    epoch INTEGER NOT NULL REFERENCES group_epochs (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    member BLOB NOT NULL,
    number INTEGER NOT NULL,
    key BLOB NOT NULL,
    PRIMARY KEY (epoch, member)
) STRICT, WITHOUT ROWID;
CREATE TABLE group_skipped (
    epoch INTEGER NOT NULL REFERENCES group_epochs (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    member BLOB NOT NULL,
    number INTEGER NOT NULL,
    key BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (epoch, member, number)
) STRICT, WITHOUT ROWID;

-- Items that were seen, by id. `item`: its bytes, as long as it may have to be passed on.
CREATE TABLE group_items (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    chat BLOB NOT NULL REFERENCES groups (chat) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    id BLOB NOT NULL,
    item BLOB,
    at INTEGER NOT NULL,
    UNIQUE (chat, id)
) STRICT;
CREATE INDEX group_items_by_time ON group_items (at);

-- Items that are to be put into a log of their group. `message`: the one of ours that is stored once this is done. `admin`: it is put with the
-- admins' key.
CREATE TABLE group_outgoing (
    item INTEGER NOT NULL REFERENCES group_items (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    log INTEGER NOT NULL REFERENCES group_logs (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    message BLOB,
    admin INTEGER NOT NULL,
    PRIMARY KEY (log, item)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_outgoing_by_item ON group_outgoing (item);

-- Items that say nothing yet, in bounded numbers: no epoch has their tag, or an event waits for its parents. `epoch`: of one that is open,
-- the epoch under which it was sealed.
CREATE TABLE group_waiting (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    chat BLOB NOT NULL REFERENCES groups (chat) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    id BLOB NOT NULL,
    epoch INTEGER REFERENCES group_epochs (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    item BLOB NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE (chat, id)
) STRICT;
CREATE INDEX group_waiting_by_epoch ON group_waiting (epoch) WHERE epoch IS NOT NULL;

-- Parts of what is longer than an item, or than a content. `owner`: the chat, or the contact from whom they came.
CREATE TABLE group_parts (
    owner BLOB NOT NULL,
    hash BLOB NOT NULL,
    number INTEGER NOT NULL,
    count INTEGER NOT NULL,
    part BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (owner, hash, number)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER group_parts_of_group AFTER DELETE ON groups BEGIN
    DELETE FROM group_parts WHERE owner = old.chat;
END;
CREATE TRIGGER group_parts_of_contact AFTER DELETE ON contacts BEGIN
    DELETE FROM group_parts WHERE owner = old.id;
END;

-- Contacts whom we would add to a group, and who have not answered with their keys.
CREATE TABLE group_offers (
    chat BLOB NOT NULL REFERENCES groups (chat) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    contact BLOB NOT NULL REFERENCES contacts (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    role INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (chat, contact)
) STRICT, WITHOUT ROWID;

-- Messages as their authors signed them, for those who become members later, where the group lets them read that.
CREATE TABLE group_records (
    message INTEGER NOT NULL PRIMARY KEY REFERENCES messages (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    record BLOB NOT NULL
) STRICT;
CREATE TRIGGER group_records_taken_back AFTER UPDATE OF edited_at, deleted_at ON messages
WHEN new.edited_at IS NOT NULL OR new.deleted_at IS NOT NULL BEGIN
    DELETE FROM group_records WHERE message = new.pk;
END;

-- Invites of ours to groups. `uses`: how many became members by one, and `max_uses`: how many may, or NULL.
CREATE TABLE group_invites (
    invite BLOB NOT NULL PRIMARY KEY REFERENCES invites (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    chat BLOB NOT NULL REFERENCES groups (chat) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    role INTEGER NOT NULL,
    ask INTEGER NOT NULL,
    max_uses INTEGER,
    uses INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX group_invites_by_chat ON group_invites (chat);

-- Who uses an invite of ours to a group. `answer`: the content with their keys, as they sent it, while somebody has yet to decide.
CREATE TABLE group_requests (
    chat BLOB NOT NULL REFERENCES groups (chat) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    contact BLOB NOT NULL REFERENCES contacts (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    invite BLOB NOT NULL REFERENCES group_invites (invite) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    answer BLOB,
    at INTEGER NOT NULL,
    PRIMARY KEY (chat, contact)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_requests_by_invite ON group_requests (invite);

-- Whether a contact is only known for a group, and shown nowhere.
ALTER TABLE contacts ADD COLUMN for_group INTEGER NOT NULL DEFAULT 0;

-- Groups to which a contact would add us, with the keys that we made for them, until the welcome is here.
CREATE TABLE group_joins (
    group_id BLOB NOT NULL,
    contact BLOB NOT NULL REFERENCES contacts (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    sign_seed BLOB NOT NULL,
    leaf_seed BLOB NOT NULL,
    kem_seed BLOB,
    name TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (group_id, contact)
) STRICT, WITHOUT ROWID;

-- Contents of ours that wait for an epoch under which they may be sent.
CREATE TABLE group_unsent (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    chat BLOB NOT NULL REFERENCES groups (chat) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    message BLOB NOT NULL,
    content BLOB NOT NULL
) STRICT;

-- The logs of groups at relays, one for each epoch, and how far each was read. `admin`: the public key with which admins append. `until`: when
-- it is read for the last time (ms); NULL while it is in use.
CREATE TABLE group_logs (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    chat BLOB NOT NULL REFERENCES groups (chat) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    epoch INTEGER NOT NULL REFERENCES group_epochs (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    relay BLOB NOT NULL,
    address BLOB NOT NULL,
    token BLOB NOT NULL,
    admin BLOB NOT NULL,
    cursor INTEGER NOT NULL DEFAULT 0,
    until INTEGER,
    UNIQUE (chat, epoch, relay, admin)
) STRICT;
CREATE INDEX group_logs_by_epoch ON group_logs (epoch);

-- Who said what waits for its message: in a direct chat always the author of that.
ALTER TABLE waiting ADD COLUMN sender BLOB NOT NULL DEFAULT x'';
UPDATE waiting SET sender = author;
