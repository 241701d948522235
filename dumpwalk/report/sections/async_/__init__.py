"""Chains of awaiting methods: the methods, what the last one waits for, the threads that block on the first."""
