"""Campaigns of faults: what is promised when processes are killed, disks fill up, files are damaged and strangers
write the input (docs/reliability.md). `python -m tests.chaos --help`.

It stands among the tests and in no wing: nobody who uses the package needs it, and it needs their tiny models. The
short form of each campaign is tests/test_chaos.py.
"""
