"""The paper's tables for the finished runs of a preset: rows, statistics side by side, figures, page."""
