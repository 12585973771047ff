"""The exception handler hears of a failed task only when the last handle of the task goes.

While somebody keeps the task, nothing is reported. Dropping the last handle reports "Task exception was
never retrieved"; reading the error, or awaiting the task, first silences the report. A done callback
sees the failure at once, whoever keeps the task."""
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

def print_error(what, task):
    print(f"  {what}:", task.exception())

print("nobody keeps it")
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
loop.close()
