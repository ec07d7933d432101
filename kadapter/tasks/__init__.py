"""Tasks: what is asked of a text. Each owns its encoding, head, loss and metric, and knows no file format."""
