"""lldb: found, imported, configured; the only room that imports it."""
