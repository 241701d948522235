"""From facts to a report: run, verdict, roles, assembly."""
