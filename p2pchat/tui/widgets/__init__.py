"""The widgets, one file each, and what they are made of.

conversation  the messages of a chat; the keys, the mouse and the colours
message_keys  the actions on a selected message
feed          the data of the conversation
window        the messages in memory
paging        which messages are read next
viewport      which rows are on the screen
rendering     the layout of a message
file_rows     the rows of a file: its line, its picture, its wave
files_in_view pictures that are asked for, transfers that are drawn again
senders       who wrote in a group: labels, colours, mentions
spans         the pieces that rows are made of
painting      rows as strips
looks         colours
marking       text marked with the mouse
unread        the unread line
bars          the texts of the conversation itself
composer      the field for messages
suggestions   the completions above it
turned        a text area for right-to-left text
chatlist      the list of chats
member_list   the members of a group
statusline    the status line and the titles
"""
