"""The command line: a file for each command. Nothing is imported here, so that `--help` and `doctor` need no PyTorch.

May import: every other room, and the paper's parts.
"""
