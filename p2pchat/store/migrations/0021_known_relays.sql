-- Relays that others told of. `descriptor`: what the relay says of itself, signed, the last one. `addresses`: its addresses that can be
-- dialled, packed, best first. `told_by`: the transport key of the relay that told first, or the id of the contact.
-- `worked_at`: when it last answered us; 0 if it never has.
CREATE TABLE known_relays (
    relay BLOB NOT NULL PRIMARY KEY,
    descriptor BLOB NOT NULL,
    addresses BLOB NOT NULL,
    told_by BLOB NOT NULL,
    heard_at INTEGER NOT NULL,
    worked_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Where a relay of ours says that it is, as canonical msgpack of packed addresses, and whether it has moved there: then these are tried
-- before those that the user gave.
ALTER TABLE relays ADD COLUMN described BLOB NOT NULL DEFAULT x'90';
ALTER TABLE relays ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;
