-- Written with every message, read once an hour: the hourly look reads what it needs without them (`store.outbox.deadlines`,
-- `store.envelopes.expire`).
DROP INDEX outbox_by_expiry;
DROP INDEX envelopes_by_time;
