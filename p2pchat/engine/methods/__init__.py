"""What a face may call: one module a noun, and the table of them all."""
