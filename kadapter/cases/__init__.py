"""One example with every model's labels and logits, and what a model says of a sentence of one's own (Table 7)."""
