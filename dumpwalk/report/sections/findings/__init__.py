"""What was found: the proof of the verdict's finding, what it leaves open, how to see it, and the other findings."""
