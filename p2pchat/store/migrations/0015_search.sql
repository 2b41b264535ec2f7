-- The index also holds where a message stands and who wrote it (`store.search_index`), so every row is indexed anew.
DROP TABLE messages_fts;
CREATE VIRTUAL TABLE messages_fts USING fts5 (
    text, content = '', tokenize = "unicode61 remove_diacritics 2 categories 'L* N* M* Co'"
);
INSERT INTO messages_fts (messages_fts, rank) VALUES ('secure-delete', 1);
INSERT INTO messages_fts (rowid, text) SELECT pk, search_document(text, chat, sender) FROM messages;
