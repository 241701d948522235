"""Unwind data of managed code: UNWIND_INFO of amd64, .xdata of arm64, and the runtime's own frame chain."""
