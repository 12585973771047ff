"""A run is turns until the stop flag; everything else about starting and stopping is bookkeeping."""
import asyncio

loop = asyncio.new_event_loop()

def show(what, call, *args, said):
    try:
        result = call(*args)
        print(f"  {what}: {said or result}")
    except SystemExit as error:
        print(f"  {what}: exit {error.code}")
    except RuntimeError as error:
        print(f"  {what}: {error}")

def leave():
    raise SystemExit(3)

def refusals():
    # run_forever() of 3.13.0 forgets the outer run when it refuses; this one asks first.
    show("the same loop", loop.run_until_complete, future, said="ran")
    other = asyncio.new_event_loop()
    show("another loop", other.run_forever, said="ran")
    other.close()
    show("close", loop.close, said="closed")
    loop.stop()

print("stopped before the future is done")
future = loop.create_future()
loop.call_soon(loop.stop)
show("run", loop.run_until_complete, future, said=None)
loop.call_soon(future.set_result, "the value")
loop.call_soon(loop.stop)
loop.call_soon(print, "  the rest of this run")
loop.run_forever()
loop.call_soon(print, "  queued between the runs")
show("run again", loop.run_until_complete, future, said=None)

print("an error leaves in the middle of a batch")
loop.call_soon(leave)
loop.call_soon(print, "  the rest of the batch")
show("run", loop.run_forever, said="stopped")
loop.stop()
show("run again", loop.run_forever, said="stopped")

print("what a run refuses")
loop.call_soon(refusals)
loop.run_forever()
show("close", loop.close, said="closed")
show("call_soon", loop.call_soon, print, said="queued")
show("run", loop.run_forever, said="ran")
