#!/usr/bin/env python3
"""What a user of ill will sends: to the bus, and to the notify socket. Run as that user by tests/vm/packaged.

    hostile.py huge|connections|datagrams|garbage

Prints what came back, a line each. Never: needs more than sockets.
"""
import os
import socket
import struct
import sys
import time

BUS = "/run/dbus/system_bus_socket"


def connect():
    bus = socket.socket(socket.AF_UNIX)
    bus.settimeout(20)
    bus.connect(BUS)
    uid = str(os.getuid()).encode().hex().encode()
    bus.sendall(b"\0AUTH EXTERNAL " + uid + b"\r\nBEGIN\r\n")
    answer = b""
    while not answer.endswith(b"\r\n"):
        answer += bus.recv(1)
    if not answer.startswith(b"OK"):
        raise OSError(answer.decode())
    return bus


def padded(data, to):
    return data + b"\0" * (-len(data) % to)


def text(value):
    raw = value.encode()
    return struct.pack("<I", len(raw)) + raw + b"\0"


def call(serial, path, interface, member, destination, signature="", body=b""):
    fields = b""
    for code, kind, value in ((1, "o", path), (2, "s", interface), (3, "s", member), (6, "s", destination)):
        fields = padded(fields, 8) + bytes([code, 1]) + kind.encode() + b"\0" + text(value)
    if signature:
        fields = padded(fields, 8) + bytes([8, 1]) + b"g\0" + bytes([len(signature)]) + signature.encode() + b"\0"
    head = struct.pack("<cBBBIII", b"l", 1, 0, 1, len(body), serial, len(fields))
    return padded(head + fields, 8) + body


def hello(bus):
    bus.sendall(call(1, "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", "org.freedesktop.DBus"))


def manager(serial, member, signature, body):
    return call(serial, "/org/stead/Stead1", "org.stead.Stead1.Manager", member, "org.stead.Stead1", signature, body)


def drain(bus, seconds):
    """What comes until the answer to the second call is there, behind that to Hello; the number of bytes."""
    bus.settimeout(seconds)
    got = b""
    try:
        while got.count(b"stead") == 0 and (data := bus.recv(1 << 16)):
            got += data
    except OSError:
        pass
    return len(got)


def huge():
    """An array of three and a half million selectors: 28 MB, which the bus still carries."""
    one = padded(text("x"), 4)
    array = one * 3_500_000
    body = struct.pack("<I", len(array)) + array
    body = padded(body, 4) + struct.pack("<I", 0)
    bus = connect()
    hello(bus)
    try:
        bus.sendall(manager(2, "Stop", "asa{sv}", padded(body, 8)))
    except OSError as error:
        print("the bus ends it:", error)
    print("answered with", drain(bus, 10), "bytes")


def connections():
    """As many as the bus gives to one user, each with a question."""
    held = []
    for _ in range(1000):
        try:
            bus = connect()
            hello(bus)
            bus.sendall(manager(2, "ListInstances", "asa{sv}", struct.pack("<IIII", 0, 0, 0, 0)[:16]))
            held.append(bus)
        except OSError:
            break
    print(len(held), "connections")
    time.sleep(5)


def datagrams():
    """Readiness that is not theirs to tell."""
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.setblocking(False)
    sent = 0
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            notify.sendto(b"READY=1\nMAINPID=1\n" if sent % 2 else os.urandom(3000), "/run/stead/notify")
            sent += 1
        except BlockingIOError:
            time.sleep(0.001)
        except OSError as error:
            print("refused:", error)
            return
    print(sent, "datagrams")


def garbage():
    """Bytes that are no message, and signatures that lie."""
    bus = connect()
    hello(bus)
    bus.sendall(manager(2, "Stop", "asa{sv}", os.urandom(64)))
    print("answered with", drain(bus, 2), "bytes")
    bus = connect()
    hello(bus)
    bus.sendall(manager(2, "StartApps", "s", text("not an app")))
    print("answered with", drain(bus, 2), "bytes")


{"huge": huge, "connections": connections, "datagrams": datagrams, "garbage": garbage}[sys.argv[1]]()
