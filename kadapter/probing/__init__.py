"""Cloze probes of what a model knows: LAMA, LAMA-UHN, negated, consistency, questions (Tables 5 and 6)."""
