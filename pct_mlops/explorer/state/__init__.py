"""What the reader has chosen, kept in the address, and who the reader is."""
