"""The program of `debug.rs` on CPython: what it logs about its children in debug mode.

The threaded watcher is the one that looplab is made after; the other one has no line for the reaping.
"""

import asyncio
import logging
import re
import sys
from asyncio.subprocess import PIPE, STDOUT

OF_CHILDREN = re.compile("execute program|run shell command|process .* created|communicate|exited with|kill <")


class OfChildren(logging.Handler):
    def emit(self, record):
        text = record.getMessage()
        if OF_CHILDREN.search(text):
            # looplab does not describe the pipes.
            text = re.sub(" (stdin|stdout|stderr)=<_Unix[^>]*>", "", text).replace("_UnixSubprocess", "Subprocess")
            print(record.levelname.replace("WARNING", "WARN"), re.sub(r"\d\d+", "PID", text))


async def main():
    cat = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    await cat.communicate(b"hello")
    shell = await asyncio.create_subprocess_shell(
        "read line; echo 'it is' >&2; exit 3", stdin=PIPE, stdout=PIPE, stderr=STDOUT
    )
    await shell.communicate(b"go\n")
    sleep = await asyncio.create_subprocess_exec("sleep", "3600")
    sleep.kill()
    await sleep.wait()
    try:
        await asyncio.create_subprocess_exec("/no/such/program")
    except FileNotFoundError:
        pass
    start = asyncio.create_task(asyncio.create_subprocess_exec("sleep", "3600", stdin=PIPE))
    await asyncio.sleep(0)
    start.cancel()
    await asyncio.wait([start])


if hasattr(asyncio.unix_events, "can_use_pidfd"):
    asyncio.unix_events.can_use_pidfd = lambda: False
logger = logging.getLogger("asyncio")
logger.setLevel(logging.DEBUG)
logger.addHandler(OfChildren())
sys.stdout.reconfigure(line_buffering=True)
asyncio.run(main(), debug=True)
