-- What the hourly look forgets, found without reading the tables. The times grow, so that a new row is the last one of
-- its index: that costs a write little.
CREATE INDEX outbox_by_expiry ON outbox (expires_at);
CREATE INDEX envelopes_by_time ON envelopes_seen (at);
CREATE INDEX handshakes_by_time ON handshakes (forget_at);
CREATE INDEX skipped_by_time ON skipped_keys (at);
CREATE INDEX sessions_ending ON sessions (receive_until) WHERE receive_until IS NOT NULL;

-- Of most messages the place is the pk, so `messages_in_order` finds those of a chat in the order they were saved. Only
-- for those that came late it does not.
CREATE INDEX messages_late ON messages (chat, pk) WHERE place <> pk;

-- Who is hidden is looked at whenever somebody's sessions change.
CREATE INDEX contacts_hidden ON contacts (id) WHERE hidden;
