# SPDX-License-Identifier: Apache-2.0
"""The command line, read by both parts of the stage."""
import argparse


def arguments():
    parser = argparse.ArgumentParser(description="interop stage")
    parser.add_argument("--oracle", action="store_true", help="against rabbitmq-server instead of godwit")
    parser.add_argument("--client", action="append", default=[], help="only this client, or raw, segments, memory or access")
    parser.add_argument("--scenario", action="append", default=[], help="only this scenario or case")
    parser.add_argument("--transport", action="append", default=[], help="only this transport")
    parser.add_argument("--keep", action="store_true", help="keep the work folder with the broker's log")
    parser.add_argument("--list", action="store_true", help="name clients and scenarios")
    return parser.parse_args()
