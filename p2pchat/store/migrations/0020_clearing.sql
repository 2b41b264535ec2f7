-- Messages of this chat up to this pk are being deleted, some in each transaction; NULL: none are.
ALTER TABLE chats ADD COLUMN clear_to INTEGER;
CREATE INDEX chats_clearing ON chats (id) WHERE clear_to IS NOT NULL;
