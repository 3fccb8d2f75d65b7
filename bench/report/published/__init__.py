"""Published numbers: read from ``published.csv``, listed, and compared with ours.

May import the board and Markdown; `network` also the backbones of `bench.features`.
Start at `row`, which says what the columns mean; `match` says which two numbers compare.
"""
