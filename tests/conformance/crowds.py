"""Many of one kind: a crowd of tasks with one body, a burst of callbacks, timers or done callbacks.

The tasks of a crowd are `y0` to `y9`. A program makes three crowds and three bursts at most, as a callback does its operations
three times at most.
"""

# A crowd has no more names, and a burst is large enough for the heap of timers to be rebuilt.
CROWD = 10
BURST = 130


class Crowds:
    def do_crowd(self, who, count, body, group=None):
        """Makes tasks with one body, in a group if one is named."""
        if not self.spend("crowd") or self.loop.is_closed():
            return
        for name in [f"y{n}" for n in range(min(count, CROWD))]:
            if group is not None and group not in self.groups:
                return
            coro = self.body(name, body)
            try:
                self.put(self.tasks, name, (self.loop if group is None else self.groups[group]).create_task(coro))
            except RuntimeError:
                coro.close()
                raise

    def do_burst(self, who, x, count):
        """Schedules callbacks that say their number; `x` is a kind of call, or what they are done callbacks of."""
        if not self.spend("burst"):
            return
        found = self.find(x)
        if found is not None and self.loop.is_closed():
            return
        handles = []
        for n in range(min(count, BURST)):
            def call(*_, n=n):
                self.say("burst", n)

            if x == "soon":
                handles.append(self.loop.call_soon(call))
            elif x == "later":
                handles.append(self.loop.call_later(n * 7 % 5, call))
            elif found is None:
                return
            else:
                found.add_done_callback(call)
        self.bursts = handles

    def do_unburst(self, who, kept):
        """Cancels the handles of the last burst, but for one in `kept`."""
        handles, self.bursts = self.bursts, []
        for n, handle in enumerate(handles):
            if kept == 0 or n % kept:
                handle.cancel()
