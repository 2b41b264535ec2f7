-- The newest messages of groups, by their place in the chain of their author: so the next ones can name them, and members who lack one can be
-- given it. `head`: the beginning of its digest. `body`: as it came, sealed with a key that is not here any more. `named`: whether a message that
-- is here names it.
CREATE TABLE group_transcript (
    pk INTEGER PRIMARY KEY AUTOINCREMENT,
    epoch INTEGER NOT NULL REFERENCES group_epochs (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    member BLOB NOT NULL,
    number INTEGER NOT NULL,
    head BLOB NOT NULL,
    body BLOB NOT NULL,
    named INTEGER NOT NULL DEFAULT 0,
    UNIQUE (epoch, member, number)
) STRICT;
CREATE INDEX group_transcript_not_named ON group_transcript (epoch, pk) WHERE named = 0;

-- Messages of groups that are known of and not here. `named_by`: the member whose message names it; NULL if a later one of its author is here.
-- `since`: when that was noticed (ms). `asked`: how many members were asked for it, and `ask_at`: when the next one is. `given_up`: nobody is asked
-- any more, and it may still come. `notice`: the line in the chat that tells of it.
CREATE TABLE group_gaps (
    epoch INTEGER NOT NULL REFERENCES group_epochs (pk) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    member BLOB NOT NULL,
    number INTEGER NOT NULL,
    named_by BLOB,
    since INTEGER NOT NULL,
    asked INTEGER NOT NULL DEFAULT 0,
    ask_at INTEGER NOT NULL,
    given_up INTEGER NOT NULL DEFAULT 0,
    notice INTEGER REFERENCES messages (pk) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (epoch, member, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_gaps_by_notice ON group_gaps (notice) WHERE notice IS NOT NULL;

-- Records from before a message said what its author had seen: nobody can read them.
DELETE FROM group_records;
