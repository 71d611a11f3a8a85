"""`runtime.ports`: who holds a port."""

import os
import socket

from flux_gateway.runtime.ports import holder, taken


def test_a_taken_port_names_the_process_that_listens_there() -> None:
    with socket.create_server(("127.30.3.2", 0)) as listener:
        port = listener.getsockname()[1]
        assert f"pid {os.getpid()} (" in holder("127.30.3.2", port)
        assert f"port {port} on 127.30.3.2 is taken by pid {os.getpid()}" in taken("proxy-1", "127.30.3.2", port)
        assert holder("127.30.3.3", port) == ""


def test_who_listens_on_every_address_holds_the_port_too() -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        assert f"pid {os.getpid()} (" in holder("127.30.3.2", listener.getsockname()[1])


def test_a_port_whose_holder_cannot_be_seen_is_taken_all_the_same() -> None:
    with socket.create_server(("127.30.3.2", 0)) as listener:
        port = listener.getsockname()[1]
    assert taken("proxy-1", "127.30.3.2", port) == (
        f"proxy-1: port {port} on 127.30.3.2 is taken; stop it or choose another port"
    )
