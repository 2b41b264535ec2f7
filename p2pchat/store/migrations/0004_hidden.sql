-- A hidden contact must not learn our network address, and who uses a hidden invite becomes one.
ALTER TABLE contacts ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
ALTER TABLE invites ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
