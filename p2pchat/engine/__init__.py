"""The engine: what a profile does, in rooms that import only those below them.

engine       starts and joins the parts
new_profile  makes the files of a new profile
methods/     what a face calls: messages, chats, contacts, invites, relays, node, doctor, message status
receiving/   what the net calls: inbound envelopes, and the link, invite and mailbox handlers
groups/      membership, epochs, items: what comes, what we change, what is sent
contents/    what each kind of content does where it arrives
channels/    channels: written, followed, kept with the relays that mirror them
contacts/    contacts, invites, renewal of sessions, relays, names, addresses, housekeeping
files/       files: sent, fetched, given to others
delivery/    what is on its way out: outbound, queues, send window, link and mailbox senders, read receipts
runtime/     committer, transaction, worker, timers, events, views, settings, limits
"""
