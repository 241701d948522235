"""Who holds what, and who waits for what. No lldb in here."""
