-- What a person notes about a contact, here only; the name under which a chat goes on whose contact was forgotten.
ALTER TABLE contacts ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE chats ADD COLUMN name TEXT NOT NULL DEFAULT '';

-- What a person calls an invite, how many first messages it has taken, and when a person ended it.
ALTER TABLE invites ADD COLUMN label TEXT NOT NULL DEFAULT '';
ALTER TABLE invites ADD COLUMN uses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE invites ADD COLUMN revoked_at INTEGER;
UPDATE invites SET uses = (SELECT count(*) FROM contacts WHERE contacts.invite_id = invites.id);
