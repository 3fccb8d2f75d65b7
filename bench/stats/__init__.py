"""Which differences are real. Pure functions on arrays; nothing here knows files or clocks.

May import nothing of ours. Start at `delong` for one test set, at `across` for many data sets.

`delong` compares scores on one test set by their `placements`, `interval` says what they leave open.
`bootstrap` resamples the images of one data set, `hierarchy` data sets, tasks and seeds; `overall` makes
intervals of that. `signedrank`, `friedman`, `bayes` and `across` compare methods over data sets; `multiple`
corrects for many comparisons; `power` says what a design can see; `robustness` summarises contamination
curves.
"""
