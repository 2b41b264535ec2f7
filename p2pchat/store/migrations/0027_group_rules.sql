-- Since when a member is known here as one, 0 for those who were before us; until when what they write is not shown.
ALTER TABLE group_members ADD COLUMN added_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE group_members ADD COLUMN muted_until INTEGER NOT NULL DEFAULT 0;
