-- The index also holds where a message stands and who wrote it (`store.search_index`), so every message waits for it
-- anew (`store.search_backlog`).
DROP TABLE messages_fts;
CREATE VIRTUAL TABLE messages_fts USING fts5 (
    text, content = '', tokenize = "unicode61 remove_diacritics 2 categories 'L* N* M* Co'"
);
INSERT INTO messages_fts (messages_fts, rank) VALUES ('secure-delete', 1);
DELETE FROM meta WHERE key = 'search_indexed_to';
