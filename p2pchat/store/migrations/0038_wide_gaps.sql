-- How many messages a row stands for: the one with its number, and others before it, of an author of whom too many are missing.
ALTER TABLE group_gaps ADD COLUMN messages INTEGER NOT NULL DEFAULT 1;
