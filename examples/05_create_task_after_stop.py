"""stop() then create_task() in a signal handler: the cleanup does not start.

The task is pending when run_forever() returns. close() then drops it, and reports "Task was destroyed but
it is pending!". If the loop runs once more instead, the task finishes."""
import asyncio, signal, warnings

warnings.simplefilter("ignore")               # "coroutine 'cleanup' was never awaited", a second report

async def cleanup():
    print("  cleanup: begin")
    await asyncio.sleep(0.02)
    print("  cleanup: end")

def on_signal(loop):
    loop.stop()
    loop.create_task(cleanup(), name="cleanup")         # too late: this turn is the last

def handler(loop, context):
    print("  handler:", context["message"])

def scenario(run_again):
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(handler)
    loop.add_signal_handler(signal.SIGINT, on_signal, loop)
    loop.call_soon(signal.raise_signal, signal.SIGINT)
    loop.run_forever()
    for task in asyncio.all_tasks(loop):
        print(f"  run_forever returned: {task.get_name()} is pending")
        if run_again:
            loop.run_until_complete(task)
            print(f"  run again: {task.get_name()} is", "done" if task.done() else "pending")
        del task                              # the last reference, so that close() destroys it
    loop.close()
    print("  closed")

print("close at once")
scenario(run_again=False)
print("run again")
scenario(run_again=True)
