-- Chains of an epoch of which no message was seen yet: in each row up to 64 members in the order of their ids, of which `first` is the
-- first one when the row was made, as the id of 8 bytes and the key of 32. A chain that is used has a row of its own in group_chains.
CREATE TABLE group_chain_starts (
    epoch INTEGER NOT NULL REFERENCES group_epochs (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    first BLOB NOT NULL,
    chains BLOB NOT NULL,
    PRIMARY KEY (epoch, first)
) STRICT, WITHOUT ROWID;
