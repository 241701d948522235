"""What the runtime's memory means. No lldb in here."""
