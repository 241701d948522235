"""The interface-dispatch cache: found, walked, audited, and who is stuck in it."""
