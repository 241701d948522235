"""One image (ELF, Mach-O) in a file or in memory."""
