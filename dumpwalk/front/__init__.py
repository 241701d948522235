"""The command line and the command in lldb."""
