"""Measures dumpwalk against the debuggers' bare backtraces, side by side on the same cores: `make bench`."""
