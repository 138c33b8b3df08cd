# SPDX-License-Identifier: Apache-2.0
"""What clients need built before they can run, in the build folder; again only when their sources changed."""
import json
import os
import shutil
import subprocess

CLIENTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients")


class Absent(Exception):
    """The client cannot be had on this machine, and why: it is skipped, and counted."""


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


def last_line(text):
    return (text.strip().splitlines() or ["nothing was said"])[-1].strip()


def fetched(cargo, manifest, environment):
    """None, or why this cargo cannot bring what the lock file names."""
    done = subprocess.run([cargo, "fetch", "--locked", "--manifest-path", manifest], env=environment,
                          capture_output=True, text=True)
    return None if done.returncode == 0 else "%s cannot bring its crates: %s" % (cargo, last_line(done.stderr))


def lapin(build):
    """One program from crates of the lock file. A cargo of the user's is newer than Debian's, and tried first."""
    folder = os.path.join(build, "interop-lapin")
    paths = sources("lapin", ".rs", ".toml", ".lock")
    manifest = os.path.join(CLIENTS, "lapin", "Cargo.toml")
    environment = dict(os.environ, CARGO_TARGET_DIR=os.path.join(folder, "target"))

    def make():
        own = os.path.join(os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo"), "bin", "cargo")
        reasons = []
        for cargo in filter(None, (shutil.which(own), shutil.which("cargo"))):
            # Beside it is the rustc that belongs to it.
            environment["PATH"] = os.path.dirname(cargo) + os.pathsep + os.environ["PATH"]
            why = fetched(cargo, manifest, environment)
            if not why:
                subprocess.run([cargo, "build", "--quiet", "--locked", "--manifest-path", manifest], env=environment,
                               check=True)
                return
            reasons.append(why)
        raise Absent("; ".join(reasons) or "cargo is not installed (Debian package cargo)")

    built(folder, paths, make)
    return {}


BUILDS = {"amqplib": amqplib, "amqp091-go": amqp091_go, "java": java, "lapin": lapin}


def build_clients(build, chosen):
    """Builds the chosen clients, all of them when none is named. Returns what their environment needs, and in
    INTEROP_ABSENT which of them are not to be had, with the reason."""
    environment, absent = {}, {}
    for name, make in BUILDS.items():
        if chosen and name not in chosen:
            continue
        try:
            environment.update(make(build))
        except Absent as why:
            absent[name] = str(why)
    return dict(environment, INTEROP_ABSENT=json.dumps(absent))
