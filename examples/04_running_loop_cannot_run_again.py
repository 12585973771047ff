"""You cannot run a loop from inside one of its own callbacks.

run_until_complete() in a callback is refused, even right after stop(). So is asyncio.run(), and a second
loop cannot run on the same thread either. The callback is not stuck. An error that it does not catch goes
to the exception handler, and the earlier stop() still takes effect. Outside, after run_forever(), the
same call works."""
import asyncio, warnings

warnings.simplefilter("ignore")               # "coroutine 'cleanup' was never awaited", for each refusal

loop = asyncio.new_event_loop()

async def cleanup():
    print("cleanup: ran")

def handler(loop, context):
    print("handler:", context["exception"])

def attempt(name, run):
    try:
        run(cleanup())
        print(f"{name}: ran")
    except RuntimeError as error:
        print(f"{name}: {error}")

def callback():
    loop.stop()
    attempt("same loop", loop.run_until_complete)
    attempt("asyncio.run", asyncio.run)
    other = asyncio.new_event_loop()
    attempt("other loop", other.run_until_complete)
    other.close()
    print("the loop is", "still running" if loop.is_running() else "not running")
    loop.run_until_complete(cleanup())        # the error leaves the callback here
    print("never reached")

loop.set_exception_handler(handler)
loop.call_soon(callback)
loop.run_forever()
print("run_forever returned")
loop.run_until_complete(cleanup())            # the safe place
loop.close()
