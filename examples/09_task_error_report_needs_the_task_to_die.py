"""The exception handler gets the error of a failed task only when its last handle is dropped.

While the task is kept, nothing is reported. Dropping the last handle reports "Task exception was never
retrieved". Code that reads the error first, or awaits the task, silences the report. A done callback sees
the failure one turn later, whether or not the task is kept. The task that created the failed one gets
nothing of it, unless it is the one that awaits."""
import asyncio, gc

loop = asyncio.new_event_loop()
loop.set_exception_handler(lambda loop, context: print("  handler:", context["message"]))

async def job():
    raise ValueError("boom")

def start():
    return loop.create_task(job(), name="job")

def spin():
    loop.call_later(0.1, loop.stop)
    loop.run_forever()
    gc.collect()

async def awaiter(task):
    try:
        await task
    except ValueError as error:
        print("  the awaiter gets:", error)

async def creator():
    task = start()
    waits = loop.create_task(awaiter(task), name="awaiter")
    await asyncio.sleep(0.05)
    print("  the creator goes on")
    await waits

def print_error(what, task):
    print(f"  {what}:", task.exception())

print("it is not kept")
start()
spin()

print("kept")
task = start()
spin()
print("  the task is", "done" if task.done() else "pending")
print("dropped")
del task
gc.collect()

print("retrieved, then dropped")
task = start()
spin()
print_error("retrieved", task)
del task
gc.collect()

print("done callback")
task = start()
task.add_done_callback(lambda task: print_error("callback saw", task))
spin()

print("created here, awaited there")
task = loop.create_task(creator(), name="creator")
spin()
loop.close()
