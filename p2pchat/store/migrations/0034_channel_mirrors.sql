-- `retired`: relays that mirror a channel of ours no longer and have to be told, in the form of `relays`. `mirrors`: whether we hand on what
-- others write, at relays of our own.
ALTER TABLE channels ADD COLUMN retired BLOB NOT NULL DEFAULT x'90';
ALTER TABLE channels ADD COLUMN mirrors INTEGER NOT NULL DEFAULT 0;

-- Under which sender the messages of a feed are saved, unless we write it: known from the next post on.
ALTER TABLE channel_feeds ADD COLUMN sender BLOB;

-- What is deleted here is not kept as the body of a post that we hand on either.
CREATE TRIGGER channel_bodies_of_others AFTER DELETE ON messages WHEN old.sender <> x'' AND EXISTS (SELECT 1 FROM channels WHERE chat = old.chat) BEGIN
    UPDATE channel_posts SET body = NULL WHERE seq = old.seq - 1 AND feed IN (
        SELECT pk FROM channel_feeds WHERE chat = old.chat AND sender = old.sender);
END;

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
