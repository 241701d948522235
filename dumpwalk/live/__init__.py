"""A live Linux process, stopped for a moment and read, then let go: dumpwalk's own look at it, without a debugger."""
