"""The client of relays' mailboxes: one stream a relay, what is fetched and what is deposited on it."""
