"""The command line: one file per noun, a function per verb.

A verb is a row of a table (`options.Verb`) and a function `(Context, Namespace) -> exit code`; it asks the node
through `api.client` and prints through `output`. Nothing here imports trio, libp2p, nacl or the store, so that a verb
starts at once; the one exception is `serve`, which starts the node, and imports it late.

main, options    runs a command line, and parses it
context          what every verb is given: the profile, the node, secrets that are typed
output, answers  printing, as JSON or in words
outgoing         texts and files to be sent, from arguments or stdin
messages         send tail read delete why
conversation     reply edit history react pin pinned timer
files            files save voice
progress         how far a file has come, on a line of the terminal
chats            chats archive mute clear
channels         channel
finding          log search
export           export
contacts         contacts requests accept decline block rename note forget verify
invites          invite invites add
groups           group
profile          init name settings unlock lock passphrase
relays, offer    the relays that this profile uses, and being one for contacts
keys             when the transport key is replaced
serve            node, and starting a relay
relay            relay
parcel           parcel
doctor           doctor salvage
echo             echo
demo             demo, whose story is in demo_script
rpc              rpc
completion       completion
manual           makes the manual page
"""
