# SPDX-License-Identifier: Apache-2.0
"""sbom.py VERSION SECONDS UNPACKED: the image's bill of materials, as SPDX 2.3 in JSON. Standard input: the packages of its
root, as dpkg-query tells them (package, version, source, source's version, architecture, tab-separated). UNPACKED: the fields
of those that were only unpacked. What godwit links statically is Debian's libdpdk-dev."""
import datetime
import json
import re
import subprocess
import sys

NAMESPACE = "https://spdx.org/spdxdocs/godwit-appliance-"
STATIC = "libdpdk-dev"


def package(name, version, source, source_version, architecture, relation):
    where = f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch={architecture}&distro=bookworm"
    return relation, {
        "SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", f"{name}-{architecture}"), "name": name, "versionInfo": version,
        "supplier": "Organization: Debian", "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION",
        "sourceInfo": f"built from Debian's source package {source} {source_version}",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": where}]}


def installed(lines):
    for line in lines:
        name, version, source, source_version, architecture = line.rstrip("\n").split("\t")
        yield package(name, version, source, source_version, architecture, "CONTAINS")


def unpacked(text):
    """From dpkg-deb -f: a package begins with its name."""
    for part in re.split(r"^(?=Package: )", text, flags=re.M)[1:]:
        fields = dict(line.split(": ", 1) for line in part.splitlines())
        source, _, source_version = fields.get("Source", fields["Package"]).partition(" ")
        yield package(fields["Package"], fields["Version"], source, source_version.strip("()") or fields["Version"],
                      fields["Architecture"], "CONTAINS")


def linked():
    told = subprocess.run(["dpkg-query", "-W", "-f", r"${Package}\t${Version}\t${source:Package}\t${source:Version}\t${Architecture}", STATIC],
                          capture_output=True, text=True, check=True).stdout
    yield package(*told.split("\t"), "STATIC_LINK")


def document(version, seconds, packages):
    ours = {"SPDXID": "SPDXRef-godwit", "name": "godwit", "versionInfo": version, "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False, "licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0",
            "copyrightText": "NOASSERTION"}
    packages = sorted(packages, key=lambda each: each[1]["SPDXID"])
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-godwit")]
    relations += [("SPDXRef-godwit" if how == "STATIC_LINK" else "SPDXRef-DOCUMENT", how, each["SPDXID"]) for how, each in packages]
    return {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"godwit-appliance-{version}",
        "documentNamespace": NAMESPACE + version,
        "creationInfo": {"created": datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                         "creators": ["Tool: godwit-appliance-build"]},
        "packages": [ours, *(each for _, each in packages)],
        "relationships": [{"spdxElementId": a, "relationshipType": how, "relatedSpdxElement": b} for a, how, b in relations]}


def main():
    version, seconds, path = sys.argv[1:]
    with open(path, encoding="utf-8") as f:
        packages = [*installed(sys.stdin), *unpacked(f.read()), *linked()]
    json.dump(document(version, int(seconds), packages), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
