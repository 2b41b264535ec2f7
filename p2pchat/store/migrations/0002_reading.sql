-- `read_at` of another's message is when it was read here; without one it is unread. Not a mark in the order of a chat:
-- a message that comes late takes a place above any mark, and nobody has seen it. What was here before counts as read.
UPDATE messages SET read_at = coalesce(received_at, sent_at) WHERE sender <> x'';
CREATE INDEX messages_unread ON messages (chat, place, seq) WHERE read_at IS NULL AND sender <> x'';

-- What was written and not sent yet.
CREATE TABLE drafts (
    chat BLOB PRIMARY KEY REFERENCES contacts (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    text TEXT NOT NULL
) STRICT;
