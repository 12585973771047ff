"""An event loop is a queue of functions, and a rule for how many of them run at once."""
import asyncio

loop = asyncio.new_event_loop()

def first():
    print("  first: calls stop()")
    loop.stop()
    print("  first: still running after stop()")
    loop.call_soon(print, "  late callback")

loop.call_soon(first)
loop.call_soon(print, "  second: was already queued")
print("run 1")
loop.run_forever()
print("run 1 returned")

loop.call_soon(print, "  queued between the runs")
loop.call_soon(loop.stop)
print("run 2")
loop.run_forever()
print("run 2 returned")
loop.close()
