"""Groups without input or output: who is a member, what they read, and how it travels.

epochs   secrets of a group, and when they are deleted     chains   a key for each message of each member
messages  messages, signed and sealed                      items    all that travels, as its carriers see it
parts    cutting what is too long, and joining it again    welcome  what a newcomer is sent
"""
