"""Free TCP ports of this machine's loopback address."""

from __future__ import annotations

import socket

from infra.errors import PortTaken

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago. Another program may take one before it is used: retry."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def require_free(port: int, *, purpose: str) -> None:
    """Raise PortTaken, saying what to do, if something listens on the port."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are only being buried counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortTaken(
                f"port {port} for {purpose} cannot be used ({error.strerror}). End the program that uses it, "
                "or choose another port, or leave the port out to get a free one."
            ) from error


def answers(port: int, *, host: str = HOST, timeout_s: float = 1.0) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError:
        return False
    return True
