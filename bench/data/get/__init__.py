"""Getting data sets: downloads with hashes, archives unpacked without trust, and checks of what lies there.

May import data and core.
Start at `download`; `card` says all that is known of a data set.
"""
