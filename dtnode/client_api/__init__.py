"""The Matrix Client-Server API and dtnode's own calls, for clients on this machine (floor 4).

dtnode.node serves `create_app()`'s app and gives it a `Host`; nothing here knows links or peers,
opens a socket, reads a clock or draws randomness by itself.
"""

from dtnode.client_api.app import create_app
from dtnode.client_api.host import Host
from dtnode.client_api.own_api import room_object

__all__ = ["Host", "create_app", "room_object"]
