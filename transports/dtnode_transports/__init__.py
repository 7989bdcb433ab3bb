"""The transports that come with dtnode: one small file each, found by entry points.

Each imports dtnode.link and nothing of the node; heavy imports stay inside what opens a device.
"""
