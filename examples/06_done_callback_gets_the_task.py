"""A done callback gets the task; one that fails does not stop the loop.

stop() takes no argument, so stop() itself is no done callback: in Python the call fails in the loop, in
Rust `add_done_callback(looplab::stop)` does not compile. A callback that reads the task's result before
it stops fails with the task. Both times the error goes to the exception handler and the loop keeps
running; a callback that only stops works."""
import asyncio

async def cleanup(works):
    print("  cleanup")
    if not works:
        raise OSError("disk full")

def stop_itself(loop):
    return loop.stop                          # called with the task: TypeError

def read_then_stop(loop):
    def callback(task):
        task.result()
        loop.stop()
    return callback

def only_stop(loop):
    return lambda _task: loop.stop()

def give_up(loop):
    print("  still running after cleanup")
    loop.stop()

def handler(loop, context):
    print("  handler: the callback failed")

def scenario(title, works, make_callback):
    print(title)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(handler)
    rescue = loop.call_later(0.1, give_up, loop)
    loop.create_task(cleanup(works), name="cleanup").add_done_callback(make_callback(loop))
    loop.run_forever()
    rescue.cancel()
    print("  stopped")
    loop.close()

scenario("stop() itself", True, stop_itself)
scenario("the result, then stop()", False, read_then_stop)
scenario("only stop()", True, only_stop)
