"""The screens, one file each.

main             the chats, the conversation and the composer
panel            the base of all others: a panel with a title and its keys
list_panel       a panel with a list, with or without a field above it
confirm          a question with two answers
welcome, unlock  before the profile is open
keep             the question whether the node keeps running
add, invite      using an invite, and making one
invites          the invites made here
requests         those who ask to become a contact
contact          the page of a contact
group            the page of a group, with its rules
members          the members of a group, and what can be done with one
group_log, group_requests, group_invite   what was done in a group, who wants in, and an invite to it
new_group        founding a group, and adding contacts to one
relays           the relays that this profile uses
network          how the network is, who sees what, and what to try
find, pinned     search, and pinned messages
menu, react, links, select, versions, delete, explain   about one message
reason           why a message is hidden or reported
palette, help    everything there is
settings, theme  settings
pick_file, send_file, save_file   a file of this computer, and a folder for one of theirs
record           a voice note, before it is sent
files, picture   the files of a chat, and one of its pictures
qr               a text as a QR code
"""
