"""A shutdown that cancels all tasks must leave out its own.

`all_tasks()` includes the task that asks. If the shutdown cancels that one too, the cancellation comes at
its first await, the gather. `stop()` is never reached, and the loop runs on with nothing to do. Leaving
out `current_task()` is enough."""
import asyncio, signal

async def client():
    try:
        await asyncio.sleep(3600)
    finally:
        print("  client: cancelled")

async def shutdown(leave_itself_out):
    itself = {asyncio.current_task()}
    tasks = asyncio.all_tasks()
    print("  tasks:", ", ".join(sorted(task.get_name() for task in tasks)))
    if leave_itself_out:
        tasks -= itself
    for task in tasks:
        task.cancel()
    tasks -= itself                           # it cannot wait for itself
    try:
        await asyncio.gather(*tasks, return_exceptions=True)
    except asyncio.CancelledError:
        print("  shutdown: cancelled at its own gather")
        raise
    print("  shutdown: stops the loop")
    asyncio.get_running_loop().stop()

def rescue():
    print("  still running, and other code has to stop it")
    asyncio.get_running_loop().stop()

def scenario(title, leave_itself_out):
    print(title)
    loop = asyncio.new_event_loop()
    kept = [loop.create_task(client(), name="client")]
    loop.add_signal_handler(
        signal.SIGTERM, lambda: kept.append(loop.create_task(shutdown(leave_itself_out), name="shutdown")))
    loop.call_later(0.01, signal.raise_signal, signal.SIGTERM)
    loop.call_later(0.2, rescue)
    loop.run_forever()
    loop.close()

scenario("everything is cancelled", False)
scenario("its own task is left out", True)
