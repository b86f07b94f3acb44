"""Measuring networks on benchmarks: protocols, samples, scores, results and reports."""
