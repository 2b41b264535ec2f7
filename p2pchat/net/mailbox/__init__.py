"""The client of relays' mailboxes: one stream a relay, what is fetched and what is deposited on it.

pool     a client for each relay and way of using it      client   its states, and one stream after the other
stream   one stream: hello, reading, writing, silence     shares   which queues are watched on which stream
fetch    pages that are read, handed on and deleted       deposit  stamps, and deposits that are not answered yet
turns    whose backlog is fetched first
"""
