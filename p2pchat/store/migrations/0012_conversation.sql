-- Replies, edits, deletes for both, and messages that end. Columns of their own, since almost every message has none of
-- it: one that is absent at the end of a row takes no room. `quote` is how the message began that this one answers, as its
-- sender says. `expire_s` is for how many seconds it stays, 0 for ever; `expires_at` when that ends, once it has begun, by
-- the clock that counts it (see the engine's clock watch). `version` is the id of the newest edit.
ALTER TABLE messages ADD COLUMN reply_to BLOB;
ALTER TABLE messages ADD COLUMN quote TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN expire_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN expires_at INTEGER;
ALTER TABLE messages ADD COLUMN version BLOB;
ALTER TABLE messages ADD COLUMN edited_at INTEGER;
ALTER TABLE messages ADD COLUMN deleted_at INTEGER;
CREATE INDEX messages_ending ON messages (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX messages_replying ON messages (chat, reply_to) WHERE reply_to IS NOT NULL;

-- What is said about a message that is not here waits for it, unless it was deleted here.
CREATE INDEX erased_by_mark ON erased (mark);

-- What a message said before it was edited; `id` is that of the edit, or of the message itself.
CREATE TABLE versions (
    message INTEGER NOT NULL REFERENCES messages (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    id BLOB NOT NULL,
    at INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (message, id)
) STRICT, WITHOUT ROWID;

-- `sender` as in messages; `id` is that of the content. One that was taken away is kept with emoji '', and so is a pin
-- with 0: an older content that comes late must not bring it back.
CREATE TABLE reactions (
    message INTEGER NOT NULL REFERENCES messages (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    sender BLOB NOT NULL,
    id BLOB NOT NULL,
    emoji TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (message, sender)
) STRICT, WITHOUT ROWID;
CREATE TABLE pins (
    message INTEGER PRIMARY KEY REFERENCES messages (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    sender BLOB NOT NULL,
    id BLOB NOT NULL,
    pinned INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;

-- What came before the message that it is about: `message` and `author` are the id and the sender of that one.
CREATE TABLE waiting (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    chat BLOB NOT NULL,
    message BLOB NOT NULL,
    author BLOB NOT NULL,
    kind INTEGER NOT NULL,
    id BLOB NOT NULL,
    until INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE INDEX waiting_by_message ON waiting (chat, message);
CREATE INDEX waiting_until ON waiting (until);

-- How long the messages of a chat stay, as agreed: seconds, 0 for ever; `sender` set it, with the content `id`.
CREATE TABLE timers (
    chat BLOB PRIMARY KEY REFERENCES contacts (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    seconds INTEGER NOT NULL,
    sender BLOB NOT NULL,
    id BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A draft in such a chat ends too. `keep_until`, by the wall clock: no relay keeps an envelope for longer.
ALTER TABLE drafts ADD COLUMN expires_at INTEGER;
ALTER TABLE outbox ADD COLUMN keep_until INTEGER;
