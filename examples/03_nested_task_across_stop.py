"""A task registered before stop() is not safe either, if it needs another turn.

A task that was queued before stop() makes only its first step. What that step awaits (an inner task, or
only the next turn) keeps it suspended until the loop runs again. Then it simply goes on."""
import asyncio

loop = asyncio.new_event_loop()

async def inner():
    print("  inner: ran")
    return "value"

async def outer():
    print("  outer: step 1")
    value = await asyncio.create_task(inner(), name="inner")
    print("  outer: got", value)

async def patient():
    print("  patient: step 1")
    await asyncio.sleep(0)
    print("  patient: step 2")

outer = loop.create_task(outer(), name="outer")        # registered before stop()
patient = loop.create_task(patient(), name="patient")
loop.call_soon(loop.stop)
state = lambda: "done" if outer.done() and patient.done() else "pending"
print("run 1")
loop.run_forever()
print("run 1 returned: the tasks are", state())

print("run 2")
loop.run_until_complete(outer)                # the same task goes on where it was
print("run 2 returned: the tasks are", state())
loop.close()
