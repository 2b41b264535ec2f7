"""Links with contacts: verified streams, keeping them up, and the dialogue of an invite."""
