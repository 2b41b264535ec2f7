"""Channels: feeds that we write, and those that we follow (docs/protocol/channels.md).

channels  founding and following one, and what faces are told      writing  posts and heads of our own feed
reading   what relays hand out: checked, saved, shown              sync     streams to the relays that mirror a channel
details   which relays mirror it, and who talks about it      owner    what its owner changes of that
mirroring what a follower hands on, at relays of their own    stored   what the streams read of the store
intake    how much a channel may say in a day               correcting  what a writer says later about a post
"""
