"""What every other part of the engine runs on: transactions, timers, events, clocks, settings."""
