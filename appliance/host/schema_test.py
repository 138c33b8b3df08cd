# SPDX-License-Identifier: Apache-2.0
"""libvirt's own schema on what `define` writes. It is in Debian's libvirt0, xmllint in libxml2-utils."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import fixture
from define_test import PAIR, SHAPES

SCHEMA = "/usr/share/libvirt/schemas/domain.rng"


@unittest.skipUnless(shutil.which("xmllint"), "xmllint is not installed (libxml2-utils)")
@unittest.skipUnless(os.path.exists(SCHEMA), f"{SCHEMA} is not installed (libvirt0)")
class Schema(unittest.TestCase):
    def complaint(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".xml", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            done = subprocess.run(["xmllint", "--noout", "--relaxng", SCHEMA, file.name], stderr=subprocess.PIPE, text=True, check=False)
        return done.stderr if done.returncode else ""

    def test_every_shape_of_a_guest(self):
        for host, *words in (*SHAPES, ("r710", *PAIR)):
            with self.subTest(words=words), fixture.host(host) as folder:
                _, out, _ = fixture.run(folder, *words, "--print", "xml")
                documents = [text for text in re.split(r"<!-- \S+ -->\n", out) if text]
                self.assertEqual(len(documents), 2 if "--count" in words else 1)
                for text in documents:
                    self.assertEqual(self.complaint(text), "")

    def test_it_does_complain(self):
        with fixture.host("r710") as folder:
            text = fixture.run(folder, *SHAPES[0][1:], "--print", "xml")[1]
        for right, wrong in (('caching_mode="on"', 'caching_mode="perhaps"'), ('managed="yes"', 'managed="maybe"'),
                             ("<vcpu ", "<vcpus ")):
            self.assertIn(right, text)
            self.assertNotEqual(self.complaint(text.replace(right, wrong).replace("</vcpu>", "</vcpus>" if "vcpus" in wrong else "</vcpu>")), "")


if __name__ == "__main__":
    unittest.main()
