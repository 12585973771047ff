"""A task that swallows its cancellation was not cancelled.

A task that catches its cancellation and does not pass it on ends like any other, with the value that it
returned. One that swallows in a loop lives on, however often it is cancelled. Cleaning up and passing the
error on keeps a task cancellable. And if the main task swallows Ctrl-C, the run returns normally."""
import asyncio, json, signal

async def swallows():
    try:
        await asyncio.sleep(3600)
        return "slept"
    except asyncio.CancelledError:
        return "swallowed"

async def immortal(lives):
    for _ in range(lives):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:        # "an error while sleeping? never mind"
            print("immortal: never mind")
    return "out of lives"

async def honest():
    try:
        await asyncio.sleep(3600)
        return "slept"
    finally:
        print("honest: cleans up")

async def cancel(task):
    await asyncio.sleep(0)                    # let it start
    requests = 0
    while not task.done():
        task.cancel()
        requests += 1
        await asyncio.sleep(0)
    await asyncio.wait([task])
    result = "none" if task.cancelled() else task.result()
    print(f"{task.get_name()}: requests {requests}, cancelled {json.dumps(task.cancelled())}, result {result}")

async def program():
    await cancel(asyncio.create_task(swallows(), name="swallows"))
    await cancel(asyncio.create_task(immortal(3), name="immortal"))
    await cancel(asyncio.create_task(honest(), name="honest"))

async def interrupted(swallow):
    asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
    try:
        await asyncio.sleep(3600)
        return "slept"
    except asyncio.CancelledError:
        print("main: cancelled by Ctrl-C")
        if swallow:
            return "a normal end"
        raise

asyncio.run(program())
for swallow in (True, False):
    try:
        print(f"the run returned: {asyncio.run(interrupted(swallow))}")
    except KeyboardInterrupt:
        print("the run failed: KeyboardInterrupt")
