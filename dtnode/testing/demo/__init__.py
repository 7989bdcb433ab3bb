"""`make demo`: six real nodes in a line, cut in the middle, in conflict, and of one mind again.

`processes` drives real nodes as a person would, by the command line and the local HTTP API;
`story` is what happens; `findings` reads from room files who was judged how and why; `show` prints
it. Run as `python -m dtnode.testing.demo`; nothing of dtnode itself imports this.
"""
