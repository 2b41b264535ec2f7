-- What a file message says of its file, and what has become of it. `file`: its id between the two ends. `done`: its chunks that have
-- arrived, here or there. `news`: the newest word of the other side, and the id of the content with it. `ended_at`: when it was whole, or
-- nothing more was to come. `source`: the path of one of ours that is read where it lies, with what tells whether it was
-- changed. `space`, `space_key`: the name and the key of the sealed file beside the database with what is kept of it. The preview is
-- last, so that nobody pages through it on the way to a state.
CREATE TABLE files (
    message INTEGER PRIMARY KEY REFERENCES messages (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    chat BLOB NOT NULL,
    mine INTEGER NOT NULL,
    file BLOB NOT NULL,
    form INTEGER NOT NULL,
    name TEXT NOT NULL,
    media TEXT NOT NULL,
    size INTEGER NOT NULL,
    key BLOB NOT NULL,
    root BLOB NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    state TEXT NOT NULL,
    problem TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0,
    news INTEGER,
    news_id BLOB,
    ended_at INTEGER,
    source BLOB,
    source_size INTEGER,
    source_mtime INTEGER,
    source_inode INTEGER,
    space TEXT,
    space_key BLOB,
    preview BLOB NOT NULL
) STRICT;
CREATE INDEX files_by_id ON files (file);
CREATE INDEX files_in_chat ON files (chat, message);
CREATE INDEX files_by_state ON files (state, message) WHERE ended_at IS NULL;
CREATE INDEX files_kept ON files (chat, mine, size) WHERE space IS NOT NULL;

-- Which blobs of a file are on the disk: a bit for each place in its sealed file, in parts of 512 bytes.
CREATE TABLE file_parts (
    message INTEGER NOT NULL REFERENCES files (message) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    part INTEGER NOT NULL,
    slots BLOB NOT NULL,
    PRIMARY KEY (message, part)
) STRICT, WITHOUT ROWID;

-- Sealed files that nothing needs any more, whatever deleted their row; a name stays until the file is unlinked. Their keys are gone.
CREATE TABLE unneeded_spaces (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TRIGGER files_deleted AFTER DELETE ON files WHEN old.space IS NOT NULL BEGIN
    INSERT OR IGNORE INTO unneeded_spaces (name) VALUES (old.space);
END;
CREATE TRIGGER files_dropped AFTER UPDATE OF space ON files WHEN old.space IS NOT NULL AND new.space IS NOT old.space BEGIN
    INSERT OR IGNORE INTO unneeded_spaces (name) VALUES (old.space);
END;
