"""What file a dump is: preflight, containers, ELF and Mach-O cores, notes, segments, who wrote it."""
