"""``index.html``: the suites of a results folder as one page for a browser, without server and network.

`page` reads overviews (``<suite>.json``) alone; `tables` may import the board, the evidence and columns.
Start at `page`; `tables` makes what it shows, ``assets`` holds template, style sheet and script.
"""
