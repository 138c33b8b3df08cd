# SPDX-License-Identifier: Apache-2.0
"""What clients need built before they can run, in the build folder; again only when their sources changed."""
import os
import shutil
import subprocess

CLIENTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients")


def sources(client, *endings):
    folder = os.path.join(CLIENTS, client)
    return sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(endings))


def built(folder, paths, make):
    """Calls make() unless it succeeded here for files that read as they do now."""
    wanted = "\0".join(open(path).read() for path in paths)
    stamp = os.path.join(folder, "made-of")
    if os.path.exists(stamp) and open(stamp).read() == wanted:
        return
    os.makedirs(folder, exist_ok=True)
    make()
    with open(stamp, "w") as done:
        done.write(wanted)


def amqplib(build):
    """npm ci from the lock file. Returns what the client's environment needs."""
    folder = os.path.join(build, "interop-npm")
    paths = sources("amqplib", ".json")

    def make():
        for path in paths:
            shutil.copy(path, folder)
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit("interop: npm is not installed (Debian packages nodejs and npm)")
        subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True)

    built(folder, paths, make)
    return {"NODE_PATH": os.path.join(folder, "node_modules")}


def amqp091_go(build):
    """One program from Debian's Go sources, without the network."""
    folder = os.path.join(build, "interop-go")
    paths = sources("amqp091-go", ".go")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GO")}
    environment.update(GO111MODULE="off", GOPATH="/usr/share/gocode", GOCACHE=os.path.join(folder, "cache"),
                       CGO_ENABLED="0", HOME=folder)

    def make():
        subprocess.run(["/usr/bin/go", "build", "-o", os.path.join(folder, "client"), *paths], env=environment,
                       check=True)

    built(folder, paths, make)
    return {}


def java(build):
    """Classes against Debian's library."""
    folder = os.path.join(build, "interop-java")
    paths = sources("java", ".java")

    def make():
        subprocess.run(["/usr/bin/javac", "-cp", "/usr/share/java/amqp-client.jar", "-d", folder, *paths], check=True)

    built(folder, paths, make)
    return {}


BUILDS = {"amqplib": amqplib, "amqp091-go": amqp091_go, "java": java}


def build_clients(build, chosen):
    """Builds the chosen clients, all of them when none is named. Returns what their environment needs."""
    environment = {}
    for name, make in BUILDS.items():
        if not chosen or name in chosen:
            environment.update(make(build))
    return environment
