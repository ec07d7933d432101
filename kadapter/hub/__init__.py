"""What people pass on: folders of adapters and models, cards, official checkpoints."""
