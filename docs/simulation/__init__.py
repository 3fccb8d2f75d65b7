"""Benchmarks with a known truth: how often reports claim what is not so, and what their intervals hold.

`benchmarks` makes plans, records and scores; `counting` puts them through the reports' own functions and
counts; `datasets` does so over data sets; `splits` takes real records of one method and splits its seeds.
"""
