"""Contacts, and what is agreed with them.

contacts       requests and contacts, and the user's decisions           names        what they are called here
invites        ours: making them, admitting who uses one                 joining      using somebody else's invite
revoking       ending one of ours                                        requests     telling faces about requests
introductions  what a first message says of its sender                   reaching     joining and dialling
news           what they tell about themselves                           presence     who can be reached now
renewal        a session that begins anew                                copies       a profile restored from a copy
own_relays     relays that store envelopes for us                        contact_relays  contacts as relays
address_updates  telling them where to reach us                          profile      the content of a new profile
housekeeping   everything that depends on time                           upkeep, walk when, and for whom at once
forgetting     deleting a contact completely                            relay_web    what others tell of relays
known_relays   relays that are known from others, to try and to pass on
presence_records  finding each other again after both have moved   transport_keys  replacing them
"""
