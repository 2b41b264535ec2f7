"""The headless relay: a mailbox for anyone who is offline, and circuits between people who cannot reach each other.

It has no account, no name and no key of anybody.

server    starts and joins the parts             config    settings: flags, environment, a TOML file
mailbox   reads what clients say and answers     clients   one client's stream: what waits to be written
terms     whether a deposit is taken now         limits    what strangers may cost, by where they come from
batches   one transaction for all who wait       store     the database: blobs of queues, within the quotas
holdings  who holds how much, who gives way      disk      the file, and the room that is kept free
clock     a time of its own, that never jumps    folder    key, lock and status of the relay's folder
store_files    which files belong to a store, and deleting them
metrics   numbers for Prometheus                 embedded  a small relay inside a node, for its contacts
dht       a server that keeps records, on a host of its own
counts    what the mailbox counts, for the metrics
file_boxes     blobs of files: who may put, ask and delete     box_store  these, apart from messages
feeds          channels, for anyone who reads them            feed_store these, checked and bounded
refused_channels  those that the operator does not mirror     mirror     the three together
blob_slots     the file in which they lie
logs      queues that many read and nobody empties        log_store  these, apart from messages
log_rounds     pushing what is new to all who follow one
openings  who may use what on a stream
records   presence records, by the key that signs them
record_shares  whose records are kept, and which give way
notifications  what is pushed to clients that watch a queue
addresses      where it listens and what it announces     transport the program that disguises what reaches it
listing        which relays it tells its clients of               others    those that its operator has named
dialback       whether relays answer where they say that they are
host_streams   what the mailbox asks of the streams of a real host
"""
