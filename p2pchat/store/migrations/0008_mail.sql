-- Whether a person here chose the relay of a queue of ours; else the contact named it, or their invite did.
ALTER TABLE own_queues ADD COLUMN chosen INTEGER NOT NULL DEFAULT 1;
UPDATE own_queues SET chosen = 0 WHERE contact IS NOT NULL AND relay NOT IN (SELECT peer FROM relays);
-- One who must not learn our address would see us come to collect there.
DELETE FROM own_queues WHERE chosen = 0 AND contact IN (SELECT id FROM contacts WHERE hidden = 1);

-- What is to be deposited again is found by its time.
DROP INDEX deposits_by_queue;
CREATE INDEX deposits_due ON deposits (queue, next_try);
