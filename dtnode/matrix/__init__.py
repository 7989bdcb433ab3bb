"""The Matrix room model as pure functions: events, room versions, auth rules, state resolution.

Nothing here opens, sleeps, logs, reads a clock or draws randomness; I/O and storage are the
business of the packages that call it (dtnode.rooms, dtnode.sync, dtnode.cli's audit).
"""
