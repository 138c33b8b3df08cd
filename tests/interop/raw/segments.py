# SPDX-License-Identifier: Apache-2.0
"""Ethernet, ARP, IPv4, ICMP and TCP built by hand, each field open to be wrong, and a packet socket on the
host side of the TAP to send them with."""
import fcntl
import socket
import struct
import time

ETH_P_ALL, ETH_P_IP, ETH_P_ARP = 0x0003, 0x0800, 0x0806
SIOCGIFHWADDR = 0x8927
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(destination, source, payload, kind=ETH_P_IP):
    return destination + source + struct.pack(">H", kind) + payload


def ipv4(source, destination, payload, protocol=6, version=4, header_words=5, total=None, fragment=0x4000, ttl=64,
         identification=1, wrong_checksum=0, options=b""):
    total = 20 + len(options) + len(payload) if total is None else total
    fields = [version << 4 | header_words, 0, total & 0xFFFF, identification, fragment, ttl, protocol, 0,
              socket.inet_aton(source), socket.inet_aton(destination)]
    fields[7] = checksum(struct.pack(">BBHHHBBH4s4s", *fields) + options) ^ wrong_checksum
    return struct.pack(">BBHHHBBH4s4s", *fields) + options + payload


def tcp(source, destination, source_port, port, sequence=0, acknowledge=0, flags=SYN, window=64240, options=b"",
        payload=b"", header_words=None, urgent=0, wrong_checksum=0):
    """options are padded to whole words with zeros unless header_words says how many words are claimed."""
    if header_words is None:
        options += b"\0" * (-len(options) % 4)
        header_words = 5 + len(options) // 4
    fields = [source_port, port, sequence & 0xFFFFFFFF, acknowledge & 0xFFFFFFFF, header_words << 4, flags, window,
              0, urgent]
    segment = struct.pack(">HHIIBBHHH", *fields) + options + payload
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack(">BBH", 0, 6, len(segment))
    fields[7] = checksum(pseudo + segment) ^ wrong_checksum
    return struct.pack(">HHIIBBHHH", *fields) + options + payload


def icmp(kind, code, rest, wrong_checksum=0):
    value = checksum(struct.pack(">BBH", kind, code, 0) + rest) ^ wrong_checksum
    return struct.pack(">BBH", kind, code, value) + rest


def arp(operation, sender_mac, sender_ip, target_mac, target_ip, hardware=1, protocol=ETH_P_IP, sizes=(6, 4)):
    return struct.pack(">HHBBH", hardware, protocol, *sizes, operation) + sender_mac + socket.inet_aton(
        sender_ip) + target_mac + socket.inet_aton(target_ip)


class Tap:
    """Sends frames to the broker as its neighbour, and sees what crosses in both directions."""

    def __init__(self, interface, host, broker):
        self.host, self.broker = host, broker
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.bind((interface, ETH_P_ALL))
        request = fcntl.ioctl(self.socket, SIOCGIFHWADDR, struct.pack("16s24x", interface.encode()))
        self.mac = request[18:24]
        self.broker_mac = self._broker_mac(interface)

    def _broker_mac(self, interface):
        """From the kernel's ARP cache: a client has just spoken to the broker."""
        with open("/proc/net/arp") as table:
            for line in table.readlines()[1:]:
                words = line.split()
                if words[0] == self.broker and words[5] == interface:
                    return bytes.fromhex(words[3].replace(":", ""))
        raise OSError("no ARP entry for %s on %s" % (self.broker, interface))

    def close(self):
        self.socket.close()

    def send(self, frame):
        try:
            self.socket.send(frame)
        except OSError:
            # Longer than the interface takes, or the queue is full for a moment.
            time.sleep(0.001)

    def send_ip(self, packet):
        self.send(ethernet(self.broker_mac, self.mac, packet))

    def send_tcp(self, **fields):
        """A segment from the host's address."""
        given = dict({"source_port": 40000, "port": 5672}, **fields)
        self.send_ip(ipv4(self.host, self.broker, tcp(self.host, self.broker, **given)))

    def watch(self, local_port, act):
        """Runs act and returns (next sequence, next acknowledgement) of the host's connection from that port
        as the last segment that carries ACK says."""
        self.socket.setblocking(False)
        while True:
            try:
                self.socket.recv(65536)
            except BlockingIOError:
                break
        act()
        found = None
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            try:
                frame = self.socket.recv(65536)
            except BlockingIOError:
                time.sleep(0.01)
                continue
            if frame[12:14] != b"\x08\x00" or frame[23] != 6:
                continue
            at = 14 + (frame[14] & 15) * 4
            source, destination, sequence, acknowledge, words, flags = struct.unpack(">HHIIBB", frame[at:at + 14])
            length = struct.unpack(">H", frame[16:18])[0] - (at - 14) - (words >> 4) * 4
            if source == local_port and flags & ACK:
                found = (sequence + length) & 0xFFFFFFFF, acknowledge
            elif destination == local_port and flags & ACK and found:
                found = found[0], (sequence + length) & 0xFFFFFFFF
        self.socket.setblocking(True)
        if not found:
            raise OSError("saw no segment of the connection")
        return found
