"""Tasks: their state, who goes on when one is done, who blocks on one, and who runs one."""
