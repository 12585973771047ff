"""A coroutine can be driven by hand, without a loop: send, throw and close.

`send` runs it to its next suspension. `throw` raises a cancellation at the await where it is suspended. A
coroutine that swallows it goes on and can return a value (Python's `StopIteration` carries it, here it is
`Step::Returned`). One that passes it on ends with it. One that was never started is not entered at all. A
coroutine that is forgotten unstarted is no error in Rust, but the compiler warns. Python warns when it is
collected. `close` asks a coroutine to end: Python raises `GeneratorExit` there, looplab
`Error::CoroutineExit`. A `finally` or a destructor then runs."""
import asyncio

async def body(swallows):
    try:
        print("  started")
        while True:
            await asyncio.sleep(0)            # a bare yield: works without a loop
    except asyncio.CancelledError:
        if swallows:
            print("  cancelled, and swallows it")
            return 123
        print("  cancelled, and passes it on")
        raise
    finally:
        print("  finally")

def show(step, *args):
    try:
        step(*args)
        print("  -> suspended")
    except StopIteration as stop:
        print(f"  -> returned {stop.value}")
    except asyncio.CancelledError:
        print("  -> ended cancelled")
    except RuntimeError as error:
        print(f"  -> {error}")

print("one that swallows")
coroutine = body(True)
show(coroutine.send, None)
show(coroutine.send, None)
show(coroutine.throw, asyncio.CancelledError())
show(coroutine.send, None)

print("one that passes it on")
coroutine = body(False)
show(coroutine.send, None)
show(coroutine.throw, asyncio.CancelledError())

print("one that was never started")
show(body(True).throw, asyncio.CancelledError())

print("one that is closed")
coroutine = body(True)
show(coroutine.send, None)
coroutine.close()
print("  -> closed")
