"""Moves votes from the queue into the table. Everybody votes once: the last vote counts."""
import os
import socket
import time


def split(line):
    voter, _, choice = line.rpartition("=")
    return voter, choice


def read_reply(stream):
    head = stream.readline().strip()
    if head[:1] == b"*":
        return [read_reply(stream) for _ in range(int(head[1:]))]
    if head[:1] == b"$":
        return stream.read(int(head[1:]) + 2)[:-2].decode()
    return None


def queue(host):
    while True:
        try:
            sock = socket.create_connection((host, 6379))
            stream = sock.makefile("rb")
            while True:
                sock.sendall(b"BLPOP votes 0\r\n")
                _, line = read_reply(stream)
                yield line
        except OSError as error:
            print("waiting for redis:", error)
            time.sleep(1)


def main():
    import pg8000.dbapi

    for line in queue(os.getenv("REDIS_HOST", "redis")):
        con = pg8000.dbapi.connect(user="postgres", password="postgres", host=os.getenv("PG_HOST", "db"))
        con.cursor().execute(
            "INSERT INTO votes (voter, choice) VALUES (%s, %s)"
            " ON CONFLICT (voter) DO UPDATE SET choice = excluded.choice",
            split(line),
        )
        con.commit()
        con.close()
        print("counted", line)


if __name__ == "__main__":
    main()
