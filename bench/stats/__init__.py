"""Statistics: which differences are real. Pure functions on arrays; nothing here knows files, clocks or us.

`delong` compares scores on one test set; `bootstrap` resamples the images of one data set and `hierarchy`
data sets, tasks and seeds; `signedrank`, `friedman` and `bayes` compare methods across data sets; `multiple`
corrects for many comparisons; `power` says what a design can see; `robustness` summarises contamination
curves.
"""
