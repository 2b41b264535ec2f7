"""The rows of the table of methods, by what they are about."""
