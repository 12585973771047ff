"""The safe order: the signal makes the cleanup task, and its done callback stops the loop.

Everything that the cleanup awaits happens before run_forever() returns. A cleanup that fails stops the
loop as well. The task is kept, so its result or error can be read after the run."""
import asyncio, signal

MOMENT = 0.02

async def nested():
    await asyncio.sleep(MOMENT)
    print("  nested: work")

async def cleanup(works):
    print("  cleanup: begin")
    await asyncio.sleep(MOMENT)
    await asyncio.create_task(nested(), name="nested")
    if not works:
        raise OSError("disk full")
    print("  cleanup: end")

def scenario(works):
    loop = asyncio.new_event_loop()
    kept = []
    def on_signal():
        task = loop.create_task(cleanup(works), name="cleanup")
        task.add_done_callback(lambda _task: loop.stop())
        kept.append(task)
    loop.add_signal_handler(signal.SIGTERM, on_signal)
    loop.call_soon(signal.raise_signal, signal.SIGTERM)
    loop.run_forever()
    [task] = kept
    try:
        task.result()
        print("  stopped; the cleanup worked")
    except OSError as error:
        print("  stopped; the cleanup failed:", error)
    loop.close()

print("a cleanup that works")
scenario(works=True)
print("a cleanup that fails")
scenario(works=False)
