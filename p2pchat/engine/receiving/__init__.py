"""What comes in: envelopes, invites and mail, from the net into transactions."""
