"""The computer at hand: how many threads compute and how they wait, where a model is computed, in which precision."""
