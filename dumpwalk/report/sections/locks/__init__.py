"""Locks: who holds each, who waits for it."""
