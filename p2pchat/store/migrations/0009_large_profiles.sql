-- What is asked at the start and every hour is found without reading what it does not concern.
CREATE INDEX contacts_by_latest ON contacts (coalesce(heard_at, created_at), id);
CREATE INDEX sessions_live ON sessions (contact, confirmed) WHERE receive_until IS NULL AND NOT pending;
CREATE INDEX own_queues_retired ON own_queues (read_until) WHERE read_until IS NOT NULL;
CREATE INDEX their_queues_by_end ON their_queues (until);
