# SPDX-License-Identifier: Apache-2.0
"""Which CPUs brokers and clients get."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Placement:
    brokers: tuple   # a tuple of CPUs for each guest
    clients: tuple
    shared: bool     # guests, or clients and brokers, share CPUs: nobody may poll without end

    def broker_cpus(self):
        return sorted({cpu for cpus in self.brokers for cpu in cpus})

    def client_cpus(self):
        return sorted({cpu for cpus in self.clients for cpu in cpus})


def place(cpus, guests, broker, client):
    """So many CPUs for each guest's broker, the last ones, and for its client, the first ones (CPU 0 has the system's own
    work, and a client's tail is seen in its gaps). Where there are too few, brokers share half of them, clients the other
    half, and all of them where there is one alone."""
    cpus = sorted(cpus)
    if guests * (broker + client) <= len(cpus):
        first, last = cpus[:guests * client], cpus[-guests * broker:]
        return Placement(tuple(tuple(last[g * broker:(g + 1) * broker]) for g in range(guests)),
                         tuple(tuple(first[g * client:(g + 1) * client]) for g in range(guests)), False)
    half = len(cpus) // 2
    first, last = cpus[:half] or cpus, cpus[half:]
    enough = guests == 1 and half > 0
    return Placement((tuple(last[-broker:]),) * guests, (tuple(first[:client]),) * guests, not enough)


def place_client(cpus, guests, client):
    """The same on a machine that has clients alone: (CPUs of each guest's client, whether these are shared)."""
    cpus = sorted(cpus)
    if guests * client <= len(cpus):
        return tuple(tuple(cpus[g * client:(g + 1) * client]) for g in range(guests)), False
    return (tuple(cpus[:client]),) * guests, guests > 1
