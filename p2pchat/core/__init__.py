"""The protocol without input or output: bytes in, values out, and the other way round.

primitives   the only importer of the cryptographic libraries
codec        strict canonical msgpack            identity     keys of a person and their devices, safety numbers
prekeys      keys for first messages             invite       the text that one person gives to another
handshake    how a session begins                ratchet      the double ratchet, a key for each message
session      the life of sessions of a pair      envelope     the padded, sealed form of everything
content      what an envelope holds              contents/    one module for each kind of content
delivery     states of a message                 frames       messages on a link
mailbox      messages between client and relay   relays       addresses of relays
logs         queues that many read and nobody empties
names        names of protocols, by a secret     text         cleaning of what others wrote
ids          a type for each kind of id          emoji        what may be a reaction
lan          announcements on a local network    parcel       an outbox as a file
punch        messages for connecting through two routers
presence     records by which people are found   record_frames  the frames that carry these
ipns         records that strangers keep         descriptors  what relays say of themselves
relay_cache  which relays that others tell of are kept
files        how a file is cut, sealed and named  file_frames   the frames that ask for its blobs
file_boxes   where the file of a group lies at relays
channels/    feeds that one key signs and anyone may read
groups/      groups of many people: who belongs to one, and what it is encrypted with
safety_words the words for the eight words of a handshake
groups/      the secrets and messages of groups
"""
