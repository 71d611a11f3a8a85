"""Who holds a port: so that "address already in use" names the process."""

import psutil

_ANY = ("0.0.0.0", "::")


def holder(host: str, port: int) -> str:
    """Return `pid 123 (nginx)` for whoever listens on the port, or an empty string when that cannot be seen."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return ""
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            if host not in _ANY and connection.laddr.ip not in (host, *_ANY):
                continue
            if connection.pid is None:
                return "a process of another user"
            try:
                return f"pid {connection.pid} ({psutil.Process(connection.pid).name()})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return ""


def taken(what: str, host: str, port: int) -> str:
    """Return the sentence for a port that is taken."""
    by = holder(host, port)
    return f"{what}: port {port} on {host} is taken{' by ' + by if by else ''}; stop it or choose another port"
