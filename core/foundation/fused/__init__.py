"""Blocks of the frozen models with their element-wise work in few kernels, for a GPU."""
