"""The interface-dispatch cache: its circular chains and what else is wrong with it."""
