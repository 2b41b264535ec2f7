"""A distributed hash table that keeps IPNS records: libp2p's Kademlia (docs/protocol/kademlia.md).

distances    how far a server is from a key
table        the servers that are known
client       one server or many asked at the same time, and the walk towards a key
network      `ports.RecordNetwork`: publishes and looks up, with a new host each time
kept         the records that a server keeps
server       what a server answers, and how it learns of others
where        asking a relay which server it runs
"""
