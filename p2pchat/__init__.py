"""p2pchat: private messages between peers, in a terminal.

Theory of operation. Each person has a profile: a folder with an encrypted database. One process per profile, the
node, opens it, speaks to other nodes over libp2p, and serves everything a person touches (the verbs, later the screen
and bots) on a Unix socket. Those are faces; they hold no keys.

The core computes, the engine commits, the net carries, the faces show. `core` is pure: input in, new state and
outputs out. `engine` gathers what waits, lets the core compute on copies, writes state, messages and outgoing
envelopes in one transaction, and only after COMMIT releases anything: an envelope to the net, an ack to a peer, an
event to a face. A crash at any point therefore loses nothing that was shown and repeats only what ids make harmless.
The outbox forgets a message when its encrypted receipt arrives, not before.

`docs/architecture.md` has the map, `docs/protocol/` every byte on the wire.
"""

__version__ = "0.1.0"
