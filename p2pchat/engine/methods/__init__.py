"""The methods that a face can call: one module per noun, and one table of them all."""
