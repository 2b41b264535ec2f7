"""The network: links with contacts, invites, mailboxes and circuits, over a host that `libp2p` contains.

`network` joins it all for the engine: an `endpoint` for everybody, and another for hidden contacts over a
`circuit_only_host`. `links` keeps streams with contacts; `mailbox` is the client of relays' mailboxes; `relays` finds
and keeps circuits, and serves them; `transport` has pipes, WebSocket and look-ups; `admission` bounds what strangers
may have; `libp2p` is the only package that imports the library.
"""
