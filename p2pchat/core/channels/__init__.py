"""Channels: what one key says to anyone who wants to read it, and how a reader checks it (docs/protocol/channels.md).

posts        posts and heads: encoded, signed, checked     bodies   what a post says, open or sealed
feed         what a reader knows of one feed, and what may be added to it; gaps and forks
checkpoints  the Merkle roots in every 256th post          links    the text that leads to a channel
details      what a head says of relays and comments      frames   what clients and relays say about feeds
"""
