"""Stuck or slow: two reports of one process, in order of time, held against each other. Reads reports only, never a dump."""
