"""The methods that a face can call: one module per noun, and one table of them all.

service         the table of methods, and the service that calls them
messages        sending, reading and deleting messages
conversation    replies, edits, reactions, pins and timers
files           sending, fetching, saving and showing files
pictures        what becomes of a picture that is sent or shown
chats           the list of chats, drafts and settings of a chat
channels        founding channels, their links, what is known of them
channel_settings  the relays of a channel, the group that talks about it, handing it on
finding         search
groups          groups: their members, roles, settings, log
group_invites   invites to groups, and those who use them
contacts        contacts and requests
invites         making and listing invites
relays          the relays that this profile uses
node            status, settings and name
network         gathers what is known about the network; its values are network_facts, its sentences network_words
phrases         parts of these sentences
mapping_words   the sentences about the port that the router may have opened
clock_check     whether this machine's clock is right
keys            when the transport key is replaced
doctor          checks what works
parcel          the outbox as a file
message_status  explains where a message is
"""
