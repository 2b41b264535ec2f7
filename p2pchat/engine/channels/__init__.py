"""Channels: feeds that we write, and those that we follow (docs/protocol/channels.md).

channels  founding and following one, and what faces are told      writing  posts and heads of our own feed
reading   what relays hand out: checked, saved, shown              sync     streams to the relays that mirror a channel
intake    how much a channel may say in a day
"""
