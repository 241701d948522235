"""What a second look at the same process is compared by: marks of each thread, counters that run on, and the time."""
