"""A gathering that fails leaves the other tasks running.

`gather` returns with the first failure, and a cancelled child is one. The code after it believes that all
is over. A group waits for its other children first."""
import asyncio

async def fetch():
    await asyncio.sleep(0.1)

async def both():
    await asyncio.gather(*(asyncio.create_task(fetch(), name=name) for name in "ab"))

async def both_in_a_group():
    async with asyncio.TaskGroup() as group:
        for name in "ab":
            group.create_task(fetch(), name=name)

def find(name):
    return next((task for task in asyncio.all_tasks() if task.get_name() == name), None)

async def one_cancelled(both):
    fetching = asyncio.create_task(both())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    find("a").cancel()
    await asyncio.wait([fetching])
    print("  both are over, and b", "runs" if find("b") else "is done")

print("a is cancelled")
asyncio.run(one_cancelled(both))
print("mended")
asyncio.run(one_cancelled(both_in_a_group))
