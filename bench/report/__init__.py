"""From records to pages: leaderboards, papers' tables, published numbers, comparisons, figures, exports.

May import suite (to name things), features (to name networks), core, metrics and stats.
Start at `write`, which writes all reports of a suite; `results` is what Python gets.
"""
