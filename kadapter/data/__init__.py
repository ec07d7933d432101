"""Building corpora: T-REx, parsed text, what is present and where the rest comes from."""
