"""The client of relays' mailboxes: a stream to each relay, and what is fetched and deposited on it.

pool     a client for each relay and way of using it      client   the states of one client and its streams
stream   one stream: hello, reading, writing, timeouts    shares   which queues are watched on which stream
fetch    pages that are read, passed on and deleted      deposit  stamps, and deposits that are not answered yet
boxes    file boxes, on a stream of their own             box_stream what is said there
logs     logs, on a stream of their own                   log_stream what is said there
feeds    channels that relays mirror, each on a stream of its own
turns    the order in which relays' backlogs are fetched   records  presence records, each by a connection of its own
"""
