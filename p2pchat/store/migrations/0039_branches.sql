-- In a large epoch a row of group_chain_starts has a closed branch: its key, and in `chains` the ids alone of its members, whose chains
-- are computed when one of them is used. NULL: `chains` has keys. Epochs of before have no branches; their chains are here as they were.
ALTER TABLE group_chain_starts ADD COLUMN branch BLOB;
