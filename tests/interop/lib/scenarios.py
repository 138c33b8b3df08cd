# SPDX-License-Identifier: Apache-2.0
"""The scenario list (scenarios.toml), read and checked."""
import json
import tomllib


MARKS = ("last", "full")  # when a scenario has its turn


class Scenarios:
    def __init__(self, clients, frameworks, scenarios):
        self.clients = {**clients, **frameworks}
        self.frameworks = frameworks
        self.scenarios = scenarios

    def does(self, client, name):
        """Whether the scenario is one of the client's."""
        owners = self.scenarios[name].get("by")
        if owners or client in self.frameworks:
            return client in (owners or ())
        return self.reason_not(client, name) is None

    def reason_not(self, client, name):
        """Why the client cannot do the scenario, or None."""
        return self.scenarios[name].get("cannot", {}).get(client)

    def peculiar(self, name):
        """Why the oracle has nothing of the kind, or None."""
        return self.scenarios[name].get("peculiar")

    def names(self, mark=None):
        """Those with this mark (`last`, `full`); without one, those that have none."""
        return [name for name, row in self.scenarios.items()
                if (row.get(mark) if mark else not any(row.get(other) for other in MARKS))]

    def write_json(self, path):
        """The form that every client can read."""
        with open(path, "w") as out:
            json.dump(self.scenarios, out)


def load(path):
    with open(path, "rb") as source:
        table = tomllib.load(source)
    for name, row in table["scenario"].items():
        unknown = set(row) - {"does", "expect", "bytes", "cannot", "by", "peculiar", *MARKS}
        if unknown or "does" not in row:
            raise ValueError("%s: %s: needs `does`, knows no %s" % (path, name, unknown or "more"))
        for client, reason in row.get("cannot", {}).items():
            if client not in table["clients"] or not reason:
                raise ValueError("%s: %s: cannot: %s needs to be a client, with a reason" % (path, name, client))
        if not set(row.get("by", ())) <= set(table["frameworks"]) | set(table["clients"]):
            raise ValueError("%s: %s: by: names clients or frameworks" % (path, name))
    return Scenarios(table["clients"], table["frameworks"], table["scenario"])
