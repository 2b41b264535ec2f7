"""What the rest of the engine is built on: transactions, timers, events, clocks, settings."""
