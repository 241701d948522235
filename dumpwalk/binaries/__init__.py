"""The process's own binaries on this machine: index, search, match by build-id and UUID."""
