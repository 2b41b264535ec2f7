-- The outbox keeps what an envelope is sealed with, and not the envelope: 84 bytes beside its content in place of 4 kB.
-- What the headers of its chain carry is kept only where a row outlives its chain (`store.sending_chains`). Rows that
-- hold their envelope go on to hold it.
ALTER TABLE outbox ADD COLUMN chain INTEGER;
ALTER TABLE outbox ADD COLUMN seal BLOB;

-- `first_row`: no row of the outbox before this one is sealed in the chain.
CREATE TABLE sending_chains (
    recipient BLOB NOT NULL,
    session_id BLOB NOT NULL,
    chain INTEGER NOT NULL,
    first_row INTEGER NOT NULL,
    header BLOB NOT NULL,
    PRIMARY KEY (session_id, chain)
) STRICT;
