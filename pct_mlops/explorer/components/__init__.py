"""Parts of which the pages of the explorer are made."""
