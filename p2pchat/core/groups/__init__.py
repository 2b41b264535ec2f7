"""Groups: who belongs to one, who may do what, what they read, and how it travels.

roles        what members may do                     events       signed entries of the membership log, as bytes
membership   the log: takes events in any order      state        members, settings and epochs at one time
ancestry     which event knew of which               rights       whether an author had the right to an event
strength     which events are void in the end        view         what those say who know certain events
personal     events that concern their author alone  waiting      events whose parents are missing
settings     the settings that have a meaning        summary      how a state is made
epochs       secrets of a group, and their deletion  chains       keys for each member's messages
messages     messages, signed and sealed             items        all that travels
parts        cutting what is too long, and joining   welcome      what a newcomer is sent
log_relays   which relays have the logs of a group   audit        whether an event counts
past_rules   what bound the author of an old message
upkeep       what is to be done without being asked  reports      sealed to those who moderate
"""
