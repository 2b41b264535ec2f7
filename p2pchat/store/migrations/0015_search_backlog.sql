-- The search index holds the messages up to a pk, as a whole number of 64 bits: until now all of them.
INSERT OR REPLACE INTO meta (key, value)
    SELECT 'search_indexed_to', unhex(printf('%016x', max(pk))) FROM messages HAVING max(pk) IS NOT NULL;
