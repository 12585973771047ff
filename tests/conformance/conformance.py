"""Runs programs of the conformance language (docs/conformance.md) on an asyncio event loop, in virtual time.

    python3 conformance.py [--loop LOOP] [--debug] [--plain | --pure] < programs

Says first which Python 3 it is. Then reads one program (JSON) a line from standard input and answers with one line:
{"log": [...], "late": [...]}, or {"skip": "why"} for what this Python cannot do (it lacks an operation, or recurses into
a circle of tasks).

    --loop asyncio        asyncio's own selector loop (if nothing is said): its turns are its own
    --loop MODULE:NAME    any other, such as uvloop:new_event_loop: what NAME() gives, driven from outside
    --plain               without the masks of `loops.py`, which hide what looplab does otherwise on purpose
    --debug               with the loops in debug mode
    --pure                with Python's own tasks and futures, not those in C, patched so that every reader of a cancelled
                          task gets the message of the cancellation, as in looplab

Standard library only; Python 3.8 and later.
"""

import argparse
import importlib
import json
import sys


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--loop", default="asyncio", metavar="LOOP", help="asyncio, or MODULE:NAME")
    parser.add_argument("--debug", action="store_true", help="the loops in debug mode")
    parser.add_argument("--plain", action="store_true", help="without the masks")
    parser.add_argument("--pure", action="store_true", help="Python's own tasks and futures")
    return parser.parse_args()


ARGUMENTS = arguments()
if ARGUMENTS.pure:
    sys.modules["_asyncio"] = None

import asyncio
import gc
import logging
import warnings

import loops
from errors import TROUBLE
from world import World


def keep_the_message():
    def make(self):
        if self._cancelled_exc is not None:
            return asyncio.CancelledError(*self._cancelled_exc.args)
        return asyncio.CancelledError(*[] if self._cancel_message is None else [self._cancel_message])

    asyncio.Future._make_cancelled_error = make


def loop_class(name):
    if name == "asyncio":
        return loops.Exact
    module, _, make = name.partition(":")
    loop = getattr(importlib.import_module(module), make or "new_event_loop")()
    cls = type(loop)
    loop.close()
    return loops.foreign(cls)


def answer(program, new_loop):
    loops.Timer.made = 0
    TROUBLE.clear()
    world = World(program, new_loop)
    try:
        log, late = world.run()
    except AttributeError as error:
        # An operation of a later Python.
        if "module 'asyncio" not in str(error):
            raise
        return {"skip": str(error)}
    world.forget()
    gc.collect()
    return {"skip": TROUBLE[0]} if TROUBLE else {"log": log, "late": sorted(late)}


def main():
    warnings.simplefilter("ignore")
    logging.disable()  # what a failing exception handler leaves behind
    if not ARGUMENTS.plain:
        loops.mask()
    if ARGUMENTS.pure:
        keep_the_message()
    make = loop_class(ARGUMENTS.loop)

    def new_loop():
        loop = make()
        loop.set_debug(ARGUMENTS.debug)
        return loop

    gc.collect()
    gc.freeze()
    gc.disable()
    sys.unraisablehook = lambda _: None
    version = ".".join(map(str, sys.version_info[:3]))
    print(json.dumps({"version": version, "minor": sys.version_info.minor}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), new_loop)), flush=True)


main()
