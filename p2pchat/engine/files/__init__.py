"""Files that are sent and fetched, apart from their messages.

files        makes and runs the parts; opens what is kept beside the database
transfers    what happens to files in transactions
sending      a file becomes blobs and a message
giving       gives blobs of our files to those who fetch them
fetcher      decides what is fetched now, and keeps it going
fetch        fetches one file
from_relays  what of it comes from relays
to_relays    leaves ours at relays for those who are offline, and takes it back
shared       where the files of groups lie, and who gives them
taking_back  what relays are to forget of files whose messages were deleted
plan         what of it is missing, and is asked for next
progress     notes what is on the disk, for all together
precedence   has files wait while messages move
live         what faces are told while files move
meter        how fast one moves
"""
