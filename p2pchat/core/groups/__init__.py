"""Groups: who belongs to one, who may do what, what they read, and how it travels.

roles        what members may do               events       signed entries of the membership log
state        members and settings at one time  epochs       secrets of a group, and when they are deleted
chains       keys for each member's messages   messages     messages, signed and sealed
items        all that travels                  parts        cutting what is too long, and joining it
welcome      what a newcomer is sent
"""
