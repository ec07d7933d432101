"""What the workbench costs, and what it would cost without its tricks: measured side by side in one process.

Every measurement is a row; ratios are taken between rows of one run, so that they mean the same on a slow machine.
"""
