"""The node's API: JSON-RPC 2.0 over the profile's Unix socket. `docs/api.md` is made from its table.

methods      the table of methods and events      codec       lines to requests and back, within limits
server       the node's side                      service     what the server needs of an open profile
client       the side of faces and verbs          connection  one connection, with calls and events
finding      who holds a profile                  starting    start a node in the background
listening    the socket, made again if it disappears
arguments    checks the arguments of a call              table        the rows of the table, by subject
transcript   a chat as a file: text, JSON, a web page     remarks     what there is to say beside a text
file_words   a file in words: size, what it is, progress
"""
