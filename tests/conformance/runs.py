"""Runs, and what ends a loop: by hand, or by a Runner."""

import asyncio
import sys

from errors import TROUBLE


class Runs:
    def do_running(self, who):
        return f"{self.loop.is_running()} {self.loop.is_closed()}".lower()

    def do_stop(self, who):
        self.loop.stop()

    def do_step(self, who):
        self.loop.stop()
        return self.do_forever(who)

    def do_forever(self, who):
        self.loop.run_forever()
        return "ok"

    def do_until(self, who, x):
        return self.until(self.loop, x)

    def do_other_until(self, who, x):
        return self.until(self.other, x)

    def until(self, loop, x):
        if x[0] == "g":
            return self.values(loop.run_until_complete(self.gathers.pop(x))) if x in self.gathers else None
        if x[0] != "b":
            return loop.run_until_complete(future) if (future := self.find(x)) else None
        coro, refused = self.body(f"main/{x}", x), loop.is_closed() or self.here() is not None
        try:
            return loop.run_until_complete(coro)
        finally:
            refused and coro.close()

    def do_other(self, who):
        self.other.stop()
        self.other.run_forever()
        return "ok"

    def do_close(self, who):
        self.loop.close()
        return "ok"

    def do_runner_run(self, who, x):
        return self.with_runner(self.run_with, x)

    def do_runner_close(self, who):
        if self.other.is_running() and sys.version_info < (3, 14) and asyncio.all_tasks(self.loop):
            TROUBLE.append("a combinator over two loops")
        # What is pending on a loop that was closed before has ended in looplab, and can be cancelled no more.
        return None if self.loop.is_closed() else self.with_runner(lambda runner: runner.close() or "ok")

    def with_runner(self, do, *args):
        """What a program with a runner does with it; nothing while it is in use, for in looplab it is borrowed then."""
        if (runner := self.runner) is None:
            return None
        self.runner = None
        try:
            return do(runner, *args)
        finally:
            self.runner = runner

    def run_with(self, runner, x):
        """Runs a body, or since 3.14 a task or a future."""
        if x[0] != "b":
            return runner.run(future) if (future := self.find(x)) else None
        coro, refused = self.body(f"runner/{x}", x), self.loop.is_closed() or self.here() is not None
        try:
            return runner.run(coro)
        finally:
            refused and coro.close()
