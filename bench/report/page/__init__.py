"""The page of all results, ``results/index.html``: one file that needs no server and no network.

Its numbers come from the tidy CSVs that lie beside it, so that it can be made from what a repository keeps.
What a CSV does not say (titles, labels, settings, seconds) comes from the suite's plan and records, else from
the page as it stood, else from the leaderboard beside the CSV and the registered adapters.

- `bench.report.page.about`: what a CSV does not say, and how the page remembers it;
- `bench.report.page.guess`: the same where nothing is remembered;
- `bench.report.page.tidy`: a CSV as the plan and the records that it was exported from;
- `bench.report.page.view`: a suite as the page shows it, in the terms of `bench.report.page.parts`;
- `bench.report.page.pictures`: the figures, to be carried by the page;
- `bench.report.page.render`: the HTML, from the files in ``assets``;
- `bench.report.page.writer`: a results folder's page.
"""
