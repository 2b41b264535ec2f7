"""Files that others sent, on the disk of whoever received them: names, writing, and what they really are.

names    a safe name for a file, from the one that its sender gave
saving   a new file in a folder, whole or not there, replacing nothing
content  what a file is by its content, and what to say before it is opened, or sent
"""
