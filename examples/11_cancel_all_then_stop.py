"""Graceful shutdown: cancel every other task, wait for all of them, then stop.

gather() with return_exceptions waits for every task's cleanup and turns outcomes into values: a
cancellation, another error, or a result if the task swallowed the request. Leaving out current_task() is
what keeps the shutdown from cancelling itself. A second signal finds the shutdown made, and changes nothing."""
import asyncio, signal

HOUR = 3600
loop = asyncio.new_event_loop()

async def polite():
    try:
        await asyncio.sleep(HOUR)
    finally:
        await asyncio.sleep(0.1)              # cleanup may await
        print("  polite: cleaned up")

async def clumsy():
    try:
        await asyncio.sleep(HOUR)
    finally:
        raise OSError("its cleanup failed")

async def stubborn():
    try:
        await asyncio.sleep(HOUR)
    except asyncio.CancelledError:
        pass                                  # swallowed

async def finished():
    pass

async def shutdown():
    while others := asyncio.all_tasks() - {asyncio.current_task()}:   # also what others made on their way out
        others = sorted(others, key=lambda task: task.get_name())
        for task in others:
            print("  cancelling", task.get_name())
            task.cancel()
        outcomes = await asyncio.gather(*others, return_exceptions=True)
        for task, outcome in zip(others, outcomes):
            if outcome is None:
                print(f"  {task.get_name()}: returned")
            elif isinstance(outcome, asyncio.CancelledError):
                print(f"  {task.get_name()}: cancelled")
            else:
                print(f"  {task.get_name()}: {outcome}")

ending = []

def on_signal():
    print("  signal")
    if not ending:
        ending.append(loop.create_task(shutdown(), name="shutdown"))
        ending[0].add_done_callback(lambda _task: loop.stop())        # whatever its end is

kept = [loop.create_task(body(), name=body.__name__) for body in (polite, clumsy, stubborn, finished)]
loop.add_signal_handler(signal.SIGTERM, on_signal)
for delay in 0.02, 0.05:
    loop.call_later(delay, signal.raise_signal, signal.SIGTERM)
print("running")
loop.run_forever()
print("stopped; tasks left:", len(asyncio.all_tasks(loop)))
loop.close()
