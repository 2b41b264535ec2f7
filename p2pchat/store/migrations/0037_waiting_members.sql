-- On whose account an item waits, so that nobody pushes out what waits of others: its author, or who brought it.
ALTER TABLE group_waiting ADD COLUMN member BLOB NOT NULL DEFAULT x'';
