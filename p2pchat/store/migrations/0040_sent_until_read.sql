-- A content of ours that went into logs of an epoch is kept until we read it there: whoever was away may have put it where nobody reads any
-- more. `item`: the last of its items, NULL for one that is yet to be sealed. `epoch`: the pk of the epoch under which it was sealed.
ALTER TABLE group_unsent ADD COLUMN epoch INTEGER;
ALTER TABLE group_unsent ADD COLUMN item BLOB;
