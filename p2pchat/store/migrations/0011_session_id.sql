-- A session is named by its id everywhere: the transcript hash of its handshake.
ALTER TABLE sessions RENAME COLUMN th TO session_id;
ALTER TABLE skipped_keys RENAME COLUMN th TO session_id;
ALTER TABLE handshakes RENAME COLUMN th TO session_id;
ALTER TABLE outbox RENAME COLUMN th TO session_id;
