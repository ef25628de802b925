#!/usr/bin/env python3
"""A small client of SKYPIPE/1, written from the specification in broker/protocol/src/lib.rs.

It shows that the specification is enough, and how little a client needs. It has no keys, so it speaks to
satellites without keys. It needs pyzmq and msgpack (Debian: python3-zmq, python3-msgpack).

    client.py ENDPOINT write PIPE      writes stdin into a pipe
    client.py ENDPOINT read PIPE       writes a pipe to stdout, as `skypipe -r` does
    client.py ENDPOINT list            lists the pipes in use: name, waiting streams, waiting bytes
    client.py ENDPOINT discard PIPE    drops the unread data of a pipe

With `--drop-every BYTES`, read and write drop their connection whenever so many payload bytes have passed,
and resume on a new one. They say on stderr how often they did.

It reads stdin with blocking calls and is silent meanwhile, so a satellite gives it up if stdin pauses for long.
It then resumes like after any other loss.
"""

import argparse
import sys
import time
import unicodedata
import uuid

import msgpack
import zmq

MAGIC = b"SKYPIPE/1"
REVISION = 3
CHUNK_OVERHEAD = 256
MIN_SEND = 4096
CHUNK = 64 << 10
WINDOW = 16 * ((1 << 20) + CHUNK_OVERHEAD)
# How many seconds a new connection has for the satellite's first word.
HANDSHAKE = 3
# What a socket's monitor says of a connection that is no more, or cannot be made.
ENDS = zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED
ENDS_KEPT = 2048
PROGRESS_KEPT = 300


def cost(payload):
    return len(payload) + CHUNK_OVERHEAD


class Lost(Exception):
    """The connection is no more, or the satellite does not know it."""


class Refused(Exception):
    """The satellite refused something for good."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


class Connection:
    """One connection after another to one satellite, under one client UUID."""

    def __init__(self, endpoint):
        self.context = zmq.Context()
        self.endpoint = endpoint
        self.client = uuid.uuid4().bytes
        self.socket = self.monitor = None
        self.heartbeat = HANDSHAKE / 3

    def connect(self):
        """Makes a new connection, in place of the one there is, and shakes hands on it."""
        self.drop()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.reconnect_ivl = -1
        self.monitor = self.socket.get_monitor_socket(ENDS)
        self.socket.connect(self.endpoint)
        self.heartbeat = HANDSHAKE / 3
        self.sent = self.heard = time.monotonic()
        hello = {"client": self.client, "revision": REVISION, "program": "client.py"}
        self.send("Hello", hello)
        name, welcome, _ = self.receive()
        if name != "Welcome":
            raise Lost(f"{name} came where Welcome was expected")
        if welcome["key"] is not None:
            raise Refused("Denied", "this client has no keys")
        self.chunk = min(CHUNK, welcome["limits"]["chunk"])
        self.heartbeat = welcome["limits"]["heartbeat_ms"] / 1000

    def drop(self):
        """Ends the connection, with all that is under way on it."""
        self.close(linger=0)

    def goodbye(self):
        """Ends the connection for good, once everything has left."""
        self.send("Bye")
        self.close(linger=1000)
        self.context.term()

    def close(self, linger):
        if self.socket is not None:
            self.socket.monitor(None, 0)
            self.monitor.close(linger=0)
            self.socket.close(linger=linger)
            self.socket = self.monitor = None

    def send(self, name, fields=None, payload=None):
        command = name if fields is None else {name: fields}
        frames = [MAGIC, msgpack.packb(command)]
        if payload is not None:
            frames.append(payload)
        # A socket without a connection would block for ever.
        patience = time.monotonic() + 3 * self.heartbeat
        while True:
            try:
                self.socket.send_multipart(frames, flags=zmq.DONTWAIT)
                break
            except zmq.Again:
                if self.monitor.poll(10) or time.monotonic() > patience:
                    raise Lost("the connection takes nothing") from None
        self.sent = time.monotonic()

    def receive(self):
        """The next message: its name, its fields and its payload. Errors are raised."""
        while True:
            now = time.monotonic()
            if now >= self.heard + 3 * self.heartbeat:
                raise Lost("nothing was heard")
            if now >= self.sent + self.heartbeat:
                self.send("Ping")
            pause = min(self.sent + self.heartbeat, self.heard + 3 * self.heartbeat) - now
            poller = zmq.Poller()
            poller.register(self.socket, zmq.POLLIN)
            poller.register(self.monitor, zmq.POLLIN)
            ready = dict(poller.poll(max(1, int(1000 * pause))))
            if self.socket not in ready and self.monitor in ready:
                raise Lost("the connection ended")
            if self.socket not in ready:
                continue
            frames = self.socket.recv_multipart()
            self.heard = time.monotonic()
            command = msgpack.unpackb(frames[1])
            name, fields = (command, {}) if isinstance(command, str) else next(iter(command.items()))
            if name == "Pong":
                continue
            if name == "Error" and fields["code"] in ("Stranger", "Failed"):
                raise Lost(fields["message"])
            if name == "Error":
                raise Refused(fields["code"], fields["message"])
            return name, fields, frames[2] if len(frames) > 2 else None

    def ask(self, name, fields, answer):
        """Asks one question."""
        self.send(name, fields)
        while True:
            got, fields, _ = self.receive()
            if got == answer:
                return fields


class Dropper:
    """Drops the connection whenever so many payload bytes have passed."""

    def __init__(self, connection, every):
        self.connection, self.every = connection, every
        self.passed = self.drops = 0

    def count(self, payload):
        self.passed += len(payload)
        if self.every and self.passed >= self.every:
            self.passed = 0
            self.drops += 1
            self.connection.drop()
            raise Lost("it was dropped")

    def report(self):
        if self.every:
            print(f"dropped {self.drops} connections", file=sys.stderr)


def resuming(connection, work):
    """Does the work on one connection after another until it is done."""
    failures = 0
    while True:
        try:
            connection.connect()
            failures = 0
            return work()
        except (Lost, zmq.ZMQError):
            failures += 1
            if failures > 60:
                raise
            time.sleep(0.02 if failures == 1 else 0.5)


class Writer:
    """Writes one stream."""

    def __init__(self, connection, pipe, source, drop_every):
        self.connection, self.pipe, self.source = connection, pipe, source
        self.dropper = Dropper(connection, drop_every)
        self.stream = uuid.uuid4().bytes
        self.is_opened = False
        self.kept = bytearray()  # What is not acknowledged, sent or not.
        self.acked = 0  # The offset of its first byte.
        self.line = 0  # The offset at which the line began that is unfinished at `acked`.
        self.has_ended = False  # Whether `source` has.
        self.sent = self.spent = self.limit = self.wanted = 0

    def run(self):
        """Opens or resumes the stream on this connection and writes it to its end."""
        opening = {
            "stream": self.stream,
            "pipe": self.pipe,
            "from": self.acked,
            "resume": self.is_opened,
            "wait": False,
            "whole": False,
            "label": "client.py",
        }
        self.connection.send("Open", opening)
        opened = self.until("Opened")
        self.is_opened = True
        # Bytes below `next` have arrived, and are kept until they are acknowledged.
        self.sent, self.spent = opened["next"], 0
        self.limit, self.wanted = opened["limit"], 0
        while self.send_some():
            pass
        length = self.acked + len(self.kept)
        self.connection.send("Finish", {"stream": self.stream, "len": length, "how": "End"})
        outcome = self.until("Finished")["outcome"]
        self.connection.send("Close", {"stream": self.stream})
        return outcome

    def send_some(self):
        """Sends a chunk, or waits for credit. Returns whether there is more to do."""
        self.read()
        first = self.sent - self.acked
        in_hand = len(self.kept) - first
        if in_hand == 0:
            return not self.has_ended
        requested = self.spent + in_hand + CHUNK_OVERHEAD * -(-in_hand // self.connection.chunk)
        length = min(in_hand, self.connection.chunk, self.limit - self.spent - CHUNK_OVERHEAD)
        if length < min(in_hand, MIN_SEND - CHUNK_OVERHEAD):
            if requested > self.wanted:
                self.wanted = requested
                self.connection.send("Credit", {"stream": self.stream, "requested": requested})
            self.take(*self.connection.receive()[:2])
            return True
        payload = bytes(self.kept[first : first + length])
        newline = self.kept.rfind(b"\n", 0, first + length)
        line = self.line if newline < 0 else self.acked + newline + 1
        tail = self.sent + length - line
        data = {"stream": self.stream, "at": self.sent, "tail": tail, "requested": requested}
        self.connection.send("Data", data, payload)
        self.sent += length
        self.spent += cost(payload)
        self.wanted = requested
        self.dropper.count(payload)
        return True

    def read(self):
        """Reads ahead, but no more than a few chunks."""
        while not self.has_ended and len(self.kept) - (self.sent - self.acked) < 4 * CHUNK:
            read = self.source.read1(CHUNK)
            self.has_ended = not read
            self.kept += read

    def until(self, wanted):
        while True:
            name, fields, _ = self.connection.receive()
            if name == wanted:
                return fields
            self.take(name, fields)

    def take(self, name, fields):
        if name == "Ack" and fields["stream"] == self.stream:
            self.limit = max(self.limit, fields["limit"])
            safe = fields["next"] - self.acked
            if safe > 0:
                newline = self.kept.rfind(b"\n", 0, safe)
                if newline >= 0:
                    self.line = self.acked + newline + 1
                del self.kept[:safe]
                self.acked += safe


class Listener:
    """Reads a pipe."""

    def __init__(self, connection, pipe, mode, output, drop_every):
        self.connection, self.pipe, self.mode, self.output = connection, pipe, mode, output
        self.dropper = Dropper(connection, drop_every)
        self.listener = uuid.uuid4().bytes
        self.is_known = False
        self.next_seq = 0  # What has arrived. Here it is written at once.
        self.cost = 0
        self.offsets = {}  # The next byte of each stream.
        self.ends = {}  # The `at` of the last `Ended` of each stream, the latest last.
        self.last = None  # The stream of the last byte, and whether that was a newline.
        self.is_done = False
        self.code = 0

    def run(self):
        """Listens, or goes on listening, on this connection until everything has come."""
        line = None
        if self.last is not None and not self.last[1] and self.last[0] in self.offsets:
            line = {"stream": self.last[0], "at": self.offsets[self.last[0]]}
        streams = [
            {"stream": stream, "at": at, "ended": stream in self.ends}
            for stream, at in reversed(self.offsets.items())
        ]
        resume = {
            "next_seq": self.next_seq,
            "cost": self.cost,
            "line": line,
            "streams": streams[:PROGRESS_KEPT],
        }
        listen = {
            "listener": self.listener,
            "pipe": self.pipe,
            "mode": self.mode,
            "window": self.cost + WINDOW,
            "resume": resume if self.is_known else None,
        }
        self.connection.send("Listen", listen)
        try:
            while True:
                name, fields, payload = self.connection.receive()
                if name == "Closed":
                    return self.code
                if name == "Listening":
                    self.is_known = True
                    if self.next_seq:
                        self.confirm()
                elif name in ("Chunk", "Ended", "Done"):
                    self.seq(name, fields, payload)
        except Refused as refused:
            if refused.code == "Unknown" and self.is_done:
                return self.code
            raise

    def seq(self, name, fields, payload):
        if fields["seq"] < self.next_seq:
            return
        if fields["seq"] > self.next_seq:
            raise Refused("Order", f"seq {fields['seq']} came where {self.next_seq} was expected")
        self.next_seq += 1
        if name == "Chunk":
            self.cost += cost(payload)
            self.chunk(fields["stream"], fields["at"], payload)
        elif name == "Ended":
            self.ended(fields)
        else:
            self.is_done = True
        if name == "Chunk":
            # The bytes are written: a confirmation that is lost with the connection is sent again.
            self.dropper.count(payload)
        self.confirm()

    def chunk(self, stream, at, payload):
        expected = self.offsets.setdefault(stream, at)
        if at > expected:
            raise Refused("Order", "a part of a stream is missing")
        new = payload[expected - at :]
        if not new:
            return
        if self.last is not None and self.last[0] != stream and not self.last[1]:
            self.output.write(b"\n")
        self.output.write(new)
        self.output.flush()
        self.offsets[stream] = expected + len(new)
        self.last = (stream, new.endswith(b"\n"))
        self.ends.pop(stream, None)

    def ended(self, fields):
        stream, at = fields["stream"], fields["at"]
        if at <= self.ends.get(stream, -1):
            return
        self.ends[stream] = at
        if fields["how"] != "End":
            self.code = 3
            print(f"cut: {fields['how']}", file=sys.stderr)
        if fields["before"]:
            self.code = 3
        if len(self.ends) > ENDS_KEPT:
            oldest = next(iter(self.ends))
            del self.ends[oldest]
            self.offsets.pop(oldest, None)

    def confirm(self):
        window = self.cost + WINDOW
        confirm = {"listener": self.listener, "next_seq": self.next_seq, "window": window}
        self.connection.send("Confirm", confirm)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("command", choices=["write", "read", "list", "discard"])
    parser.add_argument("pipe", nargs="?", default="")
    parser.add_argument("--mode", default="Default", choices=["Default", "One", "Follow", "Tap"])
    parser.add_argument("--drop-every", type=int, default=0)
    given = parser.parse_args()
    pipe = unicodedata.normalize("NFC", given.pipe)
    connection = Connection(given.endpoint)
    code = 0
    if given.command == "write":
        writer = Writer(connection, pipe, sys.stdin.buffer, given.drop_every)
        outcome = resuming(connection, writer.run)
        writer.dropper.report()
        code = 3 if outcome == "Discarded" else 0
    elif given.command == "read":
        listener = Listener(connection, pipe, given.mode, sys.stdout.buffer, given.drop_every)
        code = resuming(connection, listener.run)
        listener.dropper.report()
    else:
        connection.connect()
        if given.command == "discard":
            dropped = connection.ask("Discard", {"pipe": pipe}, "Discarded")
            print(dropped["streams"], dropped["bytes"])
        else:
            after, more = None, True
            while more:
                page = connection.ask("List", {"after": after}, "Pipes")
                for info in page["pipes"]:
                    print(info["name"] or "(default)", info["waiting"], info["bytes"])
                more = page["more"]
                after = page["pipes"][-1]["name"] if more else None
    connection.goodbye()
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Refused as refused:
        sys.exit(f"client.py: {refused}")
