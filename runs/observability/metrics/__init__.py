"""Counters, gauges and histograms of a run, and how others read them."""
