"""The network: links with contacts, invites, mailboxes and circuits, over a host that `libp2p` contains.

`network` joins it all for the engine: an `endpoint` for everybody, and another for hidden contacts over a
`circuit_only_host`. `links` keeps streams with contacts; `files` has those on which they give each other files;
`mailbox` is the client of relays' mailboxes; `relays` finds and keeps circuits, and serves them; `transport` has pipes,
WebSocket and look-ups; `admission` bounds what strangers may have; `libp2p` is the only package that imports the
library; `lan` finds contacts in the local network; `kademlia` has records kept by servers of a distributed hash table;
`mapping` has the router open a port.

view               what is known of the network, for people
ports              what the rooms need of a host, so that most of them do not know libp2p
frames             frames over a stream
multiaddrs         addresses as text and as bytes
onions             the names of onion services
pluggable          the part of an address that names a pluggable transport
interfaces         the machine's interfaces: which addresses to give out, and which to dial
network_watch      notices another network, and a sleep
network_memory     knows which ways worked on a network, and which hosts freeze there
allowance          what may go over a short connection
name_book          recognises protocol names that were derived from a secret
supervisor         restarts a host that ends
"""
