"""Encoders whose packages cannot share our environment: each exports from one of its own.

The `export_*.py` files and `exchange.py` are stand-alone scripts; nothing of ours imports them.
"""
