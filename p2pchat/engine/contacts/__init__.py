"""Contacts, and what is agreed with them.

contacts       requests and contacts, and what a person decides          names        what they are called here
invites        ours: making them, admitting who uses one                 joining      using one of theirs
revoking       ending one of ours                                        requests     telling faces who asks
introductions  what a first message says of its sender                   reaching     knocking and dialling
news           what they tell about themselves                           presence     who can be reached now
renewal        a session that begins anew                                copies       a profile put back from a copy
own_relays     relays that keep what is for us                           contact_relays  contacts as relays
address_updates  telling them where we are                               profile      what this profile is itself
housekeeping   what time ends                                            upkeep, walk when, and for whom at once
forgetting     leaving nothing of somebody
"""
