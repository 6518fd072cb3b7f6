"""Options of the start, the reader's choices, which the address keeps, and the reader's name."""
