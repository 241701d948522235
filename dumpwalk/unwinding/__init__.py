"""Stacks from the dump alone: call frame information of native images, and the loop that follows one frame to the next."""
