"""Metrics, statistics, slices: numbers, no models."""
