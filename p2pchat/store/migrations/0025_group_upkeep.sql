-- Since when another epoch is sent under in place of this one; NULL for the one that is, and while there is none.
ALTER TABLE group_epochs ADD COLUMN over_since INTEGER;
