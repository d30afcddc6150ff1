import socket


class Redis:
    """The two commands we need."""

    def __init__(self, host, port=6379):
        self.address = (host, port)

    def command(self, *args):
        with socket.create_connection(self.address, timeout=2) as sock:
            sock.sendall(pack(args))
            reply = sock.makefile("rb").readline().strip()
        if reply.startswith(b"-"):
            raise RuntimeError(reply.decode())
        return reply[1:].decode()

    def push(self, queue, text):
        return int(self.command("RPUSH", queue, text))


def pack(args):
    return b"".join([b"*%d\r\n" % len(args)] + [b"$%d\r\n%s\r\n" % (len(a.encode()), a.encode()) for a in args])
