"""Threads, those of equal stacks together."""
