"""The process's own binaries: which were found, which lack, how to fetch those."""
