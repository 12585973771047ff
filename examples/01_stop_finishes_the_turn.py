"""stop() is not "now": the turn already begun is finished.

After stop(), callbacks already in the ready queue still run. Callbacks, tasks and due timers that are
scheduled during that turn wait for the next run_forever(). There the leftovers run first, in order,
before anything queued between the runs; a due timer joins the queue after them."""
import asyncio

loop = asyncio.new_event_loop()

async def step():
    print("  task: first step")

def first():
    print("  first: calls stop()")
    loop.stop()
    print("  first: still running after stop()")
    loop.call_soon(print, "  late callback")
    loop.create_task(step(), name="late task")
    loop.call_later(0, print, "  late timer")

loop.call_soon(first)
loop.call_soon(print, "  second: was already queued")
print("run 1")
loop.run_forever()
print("run 1 returned")

loop.call_soon(print, "  queued between the runs")
loop.call_later(0.05, loop.stop)
print("run 2")
loop.run_forever()
print("run 2 returned")
loop.close()
