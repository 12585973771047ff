"""What an exception context says: the message, the error, and what it is about.

The exception handler gets reports of several kinds. Each has a message. An error is there unless a pending
task was destroyed. Then comes what the report is about: the callback that failed, the task, or the future. A
report that the program makes itself has what the program puts into it. So a handler takes no part for granted."""
import asyncio, gc

def bad_callback():
    raise OSError("boom")

async def bad_task():
    raise OSError("boom")

async def patient():
    await asyncio.sleep(3600)

def about(context):
    what = context.get("handle") or context.get("task") or context.get("future")
    if isinstance(what, asyncio.Handle):
        return "a callback"
    if isinstance(what, asyncio.Task):
        return f"the task {what.get_name()}"
    return "a future" if what else "nothing"

def handler(loop, context):
    # the rest of a callback's message is its name and arguments
    print("  message:", context["message"].partition(" bad_callback")[0])
    print("  error:", context.get("exception", "none"))
    print("  about:", about(context))

def run_once():
    loop.call_soon(loop.stop)
    loop.run_forever()

loop = asyncio.new_event_loop()
loop.set_exception_handler(handler)
print("a callback fails")
loop.call_soon(bad_callback)
run_once()
print("a task fails, and is not kept")
loop.create_task(bad_task(), name="bad")
run_once()
print("a future fails, and is dropped")
future = loop.create_future()
future.set_exception(OSError("boom"))
del future
print("the program reports something")
loop.call_exception_handler({"message": "by hand"})
print("a pending task is destroyed")
task = loop.create_task(patient(), name="patient")
run_once()
del task
loop.close()
gc.collect()
