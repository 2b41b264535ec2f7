-- No quote outlives a message that disappears: those of messages that are here and have a timer, and those of messages that are not here, in
-- chats that have had a timer, where nobody can tell when they end.
UPDATE messages SET quote = '' WHERE reply_to IS NOT NULL AND quote <> '' AND (
    EXISTS (SELECT 1 FROM messages AS quoted
            WHERE quoted.id = messages.reply_to AND quoted.chat = messages.chat AND quoted.expire_s > 0)
    OR EXISTS (SELECT 1 FROM chats WHERE chats.id = messages.chat AND timer_id IS NOT NULL)
       AND NOT EXISTS (SELECT 1 FROM messages AS quoted WHERE quoted.id = messages.reply_to AND quoted.chat = messages.chat)
);
