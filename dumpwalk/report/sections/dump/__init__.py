"""What was analysed: the dump, the runtime in it, and the tool."""
