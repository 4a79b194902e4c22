"""The board: what it is, what state it is in, and what power it draws. Everything is read below one root."""
