"""A stopped loop is only paused; a closed one is finished.

`stop()` and `run_forever()` may alternate any number of times. A task that was suspended goes on where it
was, and a stop in the middle of its wait does not cancel it. A running loop cannot be closed. A closed
loop refuses to run and to take callbacks. Closing it again, and stopping it, are harmless."""
import asyncio
from json import dumps

async def counter():
    for n in range(6):
        print(f" {n}", end="")
        if n % 2 == 1:
            asyncio.get_running_loop().stop()
        await asyncio.sleep(0)
    return "counted"

def close_inside():
    loop = asyncio.get_running_loop()
    try:
        loop.close()
    except RuntimeError as error:
        print(f"close, while it runs: {error}")
    loop.stop()

def refused(what, action, *args):
    try:
        action(*args)
        print(f"{what}: done")
    except RuntimeError as error:
        print(f"{what}: {error}")

loop = asyncio.new_event_loop()
task = loop.create_task(counter(), name="counter")
for run in range(1, 4):
    print(f"run {run}:", end="")
    loop.run_forever()
    print()
print(f"between two runs: running {dumps(loop.is_running())}, closed {dumps(loop.is_closed())}")
print(f"the task's result: {loop.run_until_complete(task)}")

loop.call_soon(close_inside)
loop.run_forever()

refused("close", loop.close)
refused("close again", loop.close)
late = counter()
refused("run_until_complete", loop.run_until_complete, late)
late.close()                                  # it was never started
refused("call_soon", loop.call_soon, print, "never printed")
refused("run_forever", loop.run_forever)
loop.stop()
print("stop: harmless")
