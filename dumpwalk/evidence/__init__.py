"""The evidence core: a core of the same format that holds what an analysis read, and what somebody needs to check it."""
