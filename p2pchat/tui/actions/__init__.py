"""What the app does when a widget asks for it, by subject.

chat         opening a chat, sending, marking as read
drafts       saving what is written and not sent yet
message      copying, deleting and explaining a message
files        sending, fetching, saving and opening files; pictures
voice        playing voice notes, and recording one
finding      search, pins, dates, unread messages, mentions, and the way back
channels     founding a channel, its link, what is known of it
groups       founding a group, its pages, its members, leaving it
mentions     completing the names of members
contact      invites, requests, the page of a contact, relays
order        pinning, archiving, muting, clearing and exporting chats; forgetting contacts
preferences  the user's file of settings
settings     the looks of the program, and the help
unlocking    opening a locked profile
every        all of them, loaded after the first picture, and what each command runs
"""
