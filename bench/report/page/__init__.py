"""``index.html``: the suites of a results folder as one page for a browser, without server and network.

May import `bench.core` and, of `bench.report`, the overviews (``<suite>.json``), tables as HTML, and numbers.
Start at `page`; `embedded` puts the figures into it, ``assets`` holds template, style sheet and script.
"""
