"""From a process to facts, and from facts to findings and a report. No lldb in here."""
