"""The exceptions of dtnode, one tree. Floor 0: imports nothing of the project.

A bad input from a peer becomes an outcome or a RemoteProtocolError, never a crash; a broken
invariant is an assert. Messages are for people: what is wrong and what to do next.
"""

from __future__ import annotations


class DtnodeError(Exception):
    """Every error dtnode raises on purpose."""


class ConfigError(DtnodeError):
    """The data folder, its config file or a command's options can't be used as they are."""


class ProtocolError(DtnodeError):
    """A rule of the link protocol was broken."""


class LocalProtocolError(ProtocolError):
    """This node's own code called a protocol machine in a state that forbids it (a bug here)."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol; the link session ends, the node goes on."""


class DecodeError(RemoteProtocolError):
    """Bytes from a peer that are not a well-formed frame or message."""


class LimitError(RemoteProtocolError):
    """A peer asked for, or sent, more than a stated bound."""


class HandshakeError(RemoteProtocolError):
    """A peer could not prove who it is, or is not one this node talks to."""


class PduError(DtnodeError):
    """An event fails one of the checks of the room model. `reason` is one line for a person."""

    @property
    def reason(self) -> str:
        return str(self)


class FormatError(PduError):
    """Not a valid PDU of its room version (server-server API, "Checks performed on receipt", 1)."""


class SignatureError(PduError):
    """A required signature is missing or wrong (same list, check 2)."""


class AuthRuleError(PduError):
    """The authorisation rules of the room version forbid the event (checks 4 to 6)."""


class StoreError(DtnodeError):
    """The store on disk is damaged, of an unknown version, full or in use."""


class ClientApiError(DtnodeError):
    """A client's request can't be served: Matrix error code, HTTP status and a message."""

    def __init__(self, status: int, errcode: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.errcode = errcode
