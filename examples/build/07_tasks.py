"""A task is a function that can pause, and the ready queue holds the tasks that can go on."""
import asyncio, json
from asyncio import CancelledError, create_task, current_task, sleep

async def sleeper(kind):
    for _ in range(3 if kind == "immortal" else 1):
        try:
            await sleep(3600)
        except CancelledError as error:       # "an error while sleeping? never mind"
            cancelled = error
    print(f"{kind}: cleans up")
    if kind == "honest":
        raise cancelled
    return "swallowed"

async def cancels_itself(done):
    print(f"itself: requested {json.dumps(current_task().cancel())}, still running")
    await done
    print("itself: an await that did not suspend, still running")
    await sleep(0.001)
    return "never returned"

async def cancel(task):
    requests = 0
    while task.cancel():
        requests += 1
        await sleep(0)
    result = "none" if task.cancelled() else task.result()
    print(f"{task.get_name()}: requests {requests}, cancelled {json.dumps(task.cancelled())}, result {result}")

async def program():
    tasks = [create_task(sleeper(kind), name=kind) for kind in ("swallows", "immortal", "honest")]
    await sleep(0.001)                        # let them start
    for task in tasks:
        await cancel(task)
    await cancel(create_task(sleeper("never"), name="never started"))
    task = create_task(cancels_itself(tasks[0]), name="itself")
    await asyncio.wait([task])
    print(f"itself: cancelled {json.dumps(task.cancelled())}")

asyncio.run(program())
