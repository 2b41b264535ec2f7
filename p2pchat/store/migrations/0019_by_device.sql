-- Renewals and addresses belong to a device, as sessions and queues do. The first device has the id of its contact.
CREATE TABLE renewals_new (
    device BLOB PRIMARY KEY REFERENCES devices (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    wanted_at INTEGER,
    unread_at INTEGER,
    asked_at INTEGER,
    said_at INTEGER,
    requested_at INTEGER,
    asks_until INTEGER NOT NULL,
    answers_until INTEGER NOT NULL,
    offered_at INTEGER,
    offered INTEGER,
    replaced BLOB NOT NULL,
    began_anew BLOB NOT NULL,
    lately BLOB NOT NULL,
    told_at INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO renewals_new
    SELECT contact, wanted_at, unread_at, asked_at, said_at, requested_at, asks_until, answers_until, offered_at, offered,
        replaced, began_anew, lately, told_at
    FROM renewals WHERE contact IN (SELECT id FROM devices);
DROP TABLE renewals;
ALTER TABLE renewals_new RENAME TO renewals;

CREATE TABLE ways_new (
    device BLOB NOT NULL REFERENCES devices (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    peer BLOB NOT NULL,
    address BLOB NOT NULL,
    role INTEGER NOT NULL,
    learned_at INTEGER NOT NULL,
    PRIMARY KEY (device, peer, address)
) STRICT, WITHOUT ROWID;
INSERT INTO ways_new
    SELECT contact, peer, address, role, learned_at FROM ways WHERE contact IN (SELECT id FROM devices);
DROP TABLE ways;
ALTER TABLE ways_new RENAME TO ways;
