"""Kinds of native locks and waits: a file each, with its `KIND` (locks/kind.py)."""
