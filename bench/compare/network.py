# SPDX-License-Identifier: Apache-2.0
"""What lies between client and broker: made for a visit, in namespaces of our own, and removed after it."""
import contextlib
import dataclasses
import glob
import os
import subprocess
import time

from target import HERE, Here

PORT = 5672
NAPI_PATIENCE_S = 5


@dataclasses.dataclass(frozen=True)
class End:
    """Where a guest's client finds its broker, and what each stands on there."""
    client_namespace: str
    broker_namespace: str
    address: str            # the broker's
    port: int = PORT
    client_device: tuple = ()   # options for the tools
    broker_port: str = ""       # an entry of `ports`, without its name; empty: kernel sockets
    client: Here = HERE         # the client's machine
    beside: tuple = ()          # CPUs of a broker that is in the tools' own process
    prefix: str = "godwit-"     # of the tools' names
    programs: str = ""          # where the tools are there, if not where they are here
    napi: str = ""              # a device whose XDP program the kernel shall run on the broker's CPUs


def ip(namespace, words):
    subprocess.run(["ip", "-n", namespace, *words.split()], check=True)


def inside(namespace, *command):
    subprocess.run(["ip", "netns", "exec", namespace, *command], check=True, stdout=subprocess.DEVNULL)


def steer(namespace, device, cpus):
    """What arrives at this end is work of these CPUs (RPS), and not of the other end's: equal cores would not be."""
    mask = f"{sum(1 << cpu for cpu in cpus):x}"
    inside(namespace, "sh", "-c", f"echo {mask} >/sys/class/net/{device}/queues/rx-0/rps_cpus")


def napi_threads(device):
    """The kernel's threads that take in what arrives at a device, where it has been told to have such."""
    for path in glob.glob("/proc/[0-9]*/comm"):
        with contextlib.suppress(OSError), open(path, encoding="utf-8") as f:
            if f.read().startswith(f"napi/{device}-"):
                yield int(path.split("/")[2])


def steer_xdp(end, cpus):
    """RPS comes after XDP, which a veth device runs on the CPU of who sends: so a thread of the kernel's does it, which there is
    once the broker has put its program there, and which belongs on the broker's CPUs."""
    if not end.napi:
        return
    inside(end.broker_namespace, "sh", "-c", f"echo 1 >/sys/class/net/{end.napi}/threaded")
    until = time.monotonic() + NAPI_PATIENCE_S
    while not (found := list(napi_threads(end.napi))):
        if time.monotonic() > until:
            raise OSError(f"{end.napi}: the kernel has no NAPI thread for it: an AF_XDP row wants one on the broker's CPUs")
        time.sleep(0.05)
    for thread in found:
        os.sched_setaffinity(thread, cpus)


def device_of(kind, interface):
    return f"net_{kind}{interface[-1]},iface={interface}"


class Network:
    """The two namespaces, and a folder for sockets."""

    def __init__(self, client, broker, work):
        self.client, self.broker, self.work = client, broker, work

    @contextlib.contextmanager
    def link(self, row, guest, client_cpus, broker_cpus):
        """Yields an End."""
        make = getattr(self, row.medium)
        with make(row, guest, client_cpus, broker_cpus) as end:
            yield end

    @contextlib.contextmanager
    def loopback(self, _row, guest, _client_cpus, _broker_cpus):
        yield End(self.broker, self.broker, f"127.0.0.{1 + guest}")

    @contextlib.contextmanager
    def network(self, row, _guest, _client_cpus, _broker_cpus):
        host, port = row.broker.rsplit(":", 1)
        yield End("", "", host.strip("[]"), int(port))

    @contextlib.contextmanager
    def veth(self, row, guest, client_cpus, broker_cpus):
        here, there = f"client{guest}", f"broker{guest}"
        ours, theirs = f"198.18.{20 + guest}.1", f"198.18.{20 + guest}.2"
        ip(self.client, f"link add {here} type veth peer name {there} netns {self.broker}")
        try:
            end = End(self.client, self.broker, theirs)
            for kind, namespace, device, address, cpus in (
                    (row.client, self.client, here, ours, client_cpus),
                    (row.broker, self.broker, there, theirs, broker_cpus)):
                ip(namespace, f"link set {device} up")
                steer(namespace, device, cpus)
                if not row.offloads:
                    inside(namespace, "ethtool", "-K", device, "tx", "off", "gso", "off", "tso", "off")
                if kind in ("kernel", "rabbitmq"):
                    ip(namespace, f"address add {address}/24 dev {device}")
            if row.client != "kernel":
                end = dataclasses.replace(
                    end, client_device=("--dpdk-port", device_of(row.client, here), "--address", f"{ours}/24"))
            if row.bypass:
                end = dataclasses.replace(end, broker_port=f"device: '{device_of(row.broker, there)}', "
                                                           f"address: {theirs}/24, gateway6: none",
                                          napi=there if row.broker == "af_xdp" else "")
            yield end
        finally:
            ip(self.client, f"link delete {here}")

    @contextlib.contextmanager
    def tap(self, _row, guest, _client_cpus, _broker_cpus):
        # The broker makes it, and takes it away.
        subnet = f"198.18.{20 + guest}"
        yield End(self.client, self.client, f"{subnet}.2",
                  broker_port=f"device: tap, host_address: {subnet}.1/24, address: {subnet}.2/24, gateway6: none")

    @contextlib.contextmanager
    def process(self, _row, _guest, _client_cpus, broker_cpus):
        # As rings.c has them.
        yield End(self.client, self.client, "10.9.0.1", client_device=("--dpdk-port", "net_ring0", "--address", "10.9.0.2/24"),
                  beside=tuple(broker_cpus[:1]), prefix="bench/compare/compare_rings_")

    @contextlib.contextmanager
    def memory(self, row, guest, _client_cpus, _broker_cpus):
        subnet, path = f"198.18.{20 + guest}", os.path.join(self.work, f"vhost{guest}")
        mac = f"02:47:77:63:00:{guest:02x}"
        device = f"net_virtio_user{guest},path={path},queues=1,queue_size=1024,mac={mac}"
        try:
            yield End(self.client, self.broker, f"{subnet}.2",
                      client_device=("--dpdk-port", device, "--address", f"{subnet}.1/24", "--mtu", str(row.mtu)),
                      broker_port=f"device: 'net_vhost{guest},iface={path},queues=1', mtu: {row.mtu}, "
                                  f"address: {subnet}.2/24, gateway6: none")
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
