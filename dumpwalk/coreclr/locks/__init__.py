"""The runtime's own locks: Crst, and their names."""
