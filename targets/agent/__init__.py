"""The agent: does on a board what a kit says, and writes the receipt. Nothing has to be installed for it."""
