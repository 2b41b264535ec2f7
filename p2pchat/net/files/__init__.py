"""Streams on which contacts give each other blobs of files (docs/protocol/files.md).

streams   recognises and opens them, beside the links of one host
asking    the side of the recipient: requests, their answers, and when to give up
credit    how much is asked for ahead
reading   takes answers out of a stream
serving   the side of the sender: answers one request after the other, behind messages
"""
