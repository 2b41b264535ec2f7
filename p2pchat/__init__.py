"""p2pchat: private messages between peers, in a terminal.

Theory of operation. Each person has a profile: a folder with an encrypted database. One process per profile, the
node, opens it, speaks to other nodes over libp2p, and serves every program that a person uses (the verbs, the screen,
bots) on a Unix socket. Those programs are faces; they hold no keys.

The core computes, the engine commits, the net carries, the faces show. `core` is pure: input in, new state and
outputs out. `engine` gathers waiting inputs, lets the core compute on copies, and writes state, messages and outgoing
envelopes in one transaction. Only after COMMIT does it release anything: an envelope to the net, an ack to a peer, an
event to a face. So a crash at any point loses nothing that was shown, and repeats only what ids make harmless. The
outbox deletes a message when its encrypted receipt arrives, not before.

`docs/architecture.md` has the map, `docs/protocol/` every byte on the wire.

core, store, net, engine   the node's four parts: protocol, database, network, decisions
media        pictures and voice notes, decoded by processes that can do nothing else
ports        the interface between engine and net; feed_ports has what concerns channels, log_ports logs
node         the node's process: lock, socket, signals, passphrase
parts        makes the parts of a node and joins them
api          the node's socket: JSON-RPC, its server and its clients
cli          the command line
tui          the screen
bot          a framework for bots
relay        the headless relay
received     files that others sent, on the disk: names, saving, what they are
config       settings from files and the environment
locations    the folders and files of a profile, and its lock
errors       all errors, one tree
log          logging, without anybody's secrets
sanitize     makes text from others harmless
lib          small tools that know nothing of p2pchat
__main__     the program's entry point
"""

__version__ = "0.2.0.dev0"
