"""The address that `serve` listens on. It is taken before anything is written."""

from __future__ import annotations

import errno
import socket

from artscraper_gateway.config import GatewayConfig
from artscraper_gateway.setting_sources import ENVIRONMENT_PREFIX

_OF_THE_PORT = (errno.EADDRINUSE, errno.EACCES)


class AddressRefused(Exception):
    """Nobody can listen on the address of the settings; says why, and what to change."""


def open_listeners(config: GatewayConfig) -> list[socket.socket]:
    """Returns sockets that listen, one for each address that `config.host` stands for.

    Raises:
        AddressRefused: the port is in use, the address is not this machine's, or no such host.
    """
    sockets = bind_address(config)
    try:
        for each in sockets:
            each.listen()
    except OSError as error:
        _close(sockets)
        raise _refused(config, error) from error
    return sockets


def bind_address(config: GatewayConfig) -> list[socket.socket]:
    """Returns sockets that have the address, and do not listen; raises as `open_listeners`."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sockets.append(socket.socket(family, kind, protocol))
            sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sockets[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sockets[-1].bind(address)
    except OSError as error:
        _close(sockets)
        raise _refused(config, error) from error
    return sockets


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def _refused(config: GatewayConfig, error: OSError) -> AddressRefused:
    name = "port" if error.errno in _OF_THE_PORT else "host"
    change = f"choose another with --{name} or {ENVIRONMENT_PREFIX}{name.upper()}"
    if error.errno == errno.EADDRINUSE:
        return AddressRefused(f"port {config.port} of {config.host} is in use; {change}")
    where = f"{config.host} port {config.port}"
    return AddressRefused(f"cannot listen on {where}: {error.strerror}; {change}")
