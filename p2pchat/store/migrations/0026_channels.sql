-- A channel: its chat, its public key, and the relays that mirror it, `[[peer, address, token] …]` as canonical msgpack. `writer` and `seed`:
-- the key with which we write there, if we do; it is the channel's own if the channel is ours. `secret`: opens the posts of a private one.
CREATE TABLE channels (
    chat BLOB NOT NULL PRIMARY KEY REFERENCES chats (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    key BLOB NOT NULL UNIQUE,
    writer BLOB,
    seed BLOB,
    secret BLOB,
    relays BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What is known of a feed, as `core.channels.feed` has it: `head` and `fork` as they travel.
CREATE TABLE channel_feeds (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    chat BLOB NOT NULL REFERENCES channels (chat) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    writer BLOB NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    last BLOB NOT NULL,
    head BLOB,
    missing INTEGER NOT NULL DEFAULT 0,
    fork BLOB,
    UNIQUE (chat, writer)
) STRICT;

-- Posts that are known. `body` is kept of our own, which relays may need again.
CREATE TABLE channel_posts (
    feed INTEGER NOT NULL REFERENCES channel_feeds (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    seq INTEGER NOT NULL,
    header BLOB NOT NULL,
    signature BLOB NOT NULL,
    body BLOB,
    PRIMARY KEY (feed, seq)
) STRICT, WITHOUT ROWID;

-- What was deleted here is not kept as a body either. The number of a message is that of its post and one.
CREATE TRIGGER channel_bodies AFTER DELETE ON messages WHEN old.sender = x'' AND EXISTS (SELECT 1 FROM channels WHERE chat = old.chat) BEGIN
    UPDATE channel_posts SET body = NULL WHERE seq = old.seq - 1 AND feed IN (
        SELECT pk FROM channel_feeds JOIN channels USING (chat) WHERE chat = old.chat AND channel_feeds.writer = channels.writer);
END;
