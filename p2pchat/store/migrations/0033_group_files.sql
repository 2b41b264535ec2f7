-- Of a file in a group: where it lies at relays, as its message says, and, of one of ours, the seed of the key that puts it there and
-- takes it back.
ALTER TABLE files ADD COLUMN boxes BLOB;
ALTER TABLE files ADD COLUMN put_seed BLOB;
