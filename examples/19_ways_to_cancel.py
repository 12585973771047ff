"""Cancelling a future, cancelling a task, and ending with a cancellation of its own are three things.

A future is cancelled at once. `cancel()` on a task is a request: the task gets the cancellation at its
await, in its next turn, and may clean up. A task that was not started yet never runs. A task that ends
with a cancellation of its own making is cancelled too. On a done future or task `cancel()` returns false.
Code that awaits a cancelled task gets the cancellation as an error, and is not cancelled by it."""
import asyncio
from json import dumps

async def sleeper():
    print("  sleeper: started")
    try:
        await asyncio.sleep(3600)
    finally:
        print("  sleeper: cleans up")

async def quits():
    raise asyncio.CancelledError

async def ended(task):
    await asyncio.wait([task])
    print(f"  ended, cancelled: {dumps(task.cancelled())}")

async def program():
    print("a future")
    future = asyncio.get_running_loop().create_future()
    print(f"  accepted: {dumps(future.cancel())}, cancelled at once: {dumps(future.cancelled())}")
    print(f"  again: {dumps(future.cancel())}")

    print("a task that waits")
    task = asyncio.create_task(sleeper(), name="sleeper")
    await asyncio.sleep(0)
    print(f"  accepted: {dumps(task.cancel())}, cancelled at once: {dumps(task.cancelled())}")
    await ended(task)
    print(f"  again: {dumps(task.cancel())}")

    print("a task that has not started")
    task = asyncio.create_task(sleeper(), name="sleeper")
    print(f"  accepted: {dumps(task.cancel())}, cancelled at once: {dumps(task.cancelled())}")
    await ended(task)

    print("a task that does it itself")
    task = asyncio.create_task(quits(), name="quits")
    await ended(task)
    try:
        await task
    except asyncio.CancelledError:
        print("  who awaits it gets the cancellation, and goes on")

asyncio.run(program())
