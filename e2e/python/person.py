"""What the programs here have in common: the test is the person at the browser."""

import sys


def check(holds, rule):
    """End the program when a rule does not hold."""
    if not holds:
        sys.exit(f"this does not hold: {rule}")


def visit(address):
    """Have the person open an address, and return where that leads."""
    print("open", address, flush=True)
    return sys.stdin.readline().strip()


def done():
    print("done", flush=True)
