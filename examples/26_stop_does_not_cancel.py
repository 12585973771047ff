"""`stop()` and `close()` do not cancel the tasks that are waiting.

A signal handler's coroutine stops the loop while a worker waits. The worker is abandoned: its code after
the await does not run, and it is reported as `Task was destroyed but it is pending!`. Only the values
that it holds are dropped: a destructor runs when the loop is closed. (In Python a `finally` runs when the
garbage collector finds the coroutine, up to its first await.) If the handler cancels the other tasks
first and gathers them, each gets its cancellation and cleans up while the loop still runs."""
import asyncio, gc, json, signal

async def worker():
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        print("  worker: sees the cancellation")
        raise
    finally:
        print("  worker: lets go")

async def shutdown(cancel_first):
    if cancel_first:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    print("  stops the loop")
    asyncio.get_running_loop().stop()

def scenario(title, cancel_first):
    print(title)
    loop = asyncio.new_event_loop()
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context["message"]))
    loop.create_task(worker(), name="worker")
    kept = []
    loop.add_signal_handler(
        signal.SIGTERM, lambda: kept.append(loop.create_task(shutdown(cancel_first), name="shutdown")))
    loop.call_later(0.01, signal.raise_signal, signal.SIGTERM)
    loop.run_forever()
    print("  the run is over")
    loop.close()
    gc.collect()                              # finds the worker now, and not at any later time
    print(f"  reported: {json.dumps(reports)}")

scenario("stop and close", False)
scenario("cancel, gather, stop and close", True)
