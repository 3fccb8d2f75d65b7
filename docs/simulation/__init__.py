"""Simulated benchmarks."""
