"""Backbone, adapter, fusion, and the one model made of them."""
