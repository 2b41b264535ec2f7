"""The table of methods and events, one module for each subject.

chats, messages, files, people, groups, channels, relays, node: their methods. events: the events. shape: the classes of
a row, and what several rows have in common.
"""
