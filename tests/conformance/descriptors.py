"""Descriptors: socket pairs and pipes, with real bytes in them.

They are there from the first use. `a0` and `z0` are the two ends of a socket pair, `a1` and `z1` those of a pipe, of which
`a1` reads; even numbers are pairs, odd ones pipes. Everything happens in this process, so what is ready when depends on the
program alone. Amounts that depend on the kernel's buffers are never printed.
"""

import errno
import os
import socket


class Descriptors:
    def end(self, name):
        """The descriptor of an end, or None once it is closed."""
        number = int(name[1:])
        if number not in self.ends:
            if number % 2 == 0:
                self.ends[number] = [end.detach() for end in socket.socketpair()]
            else:
                self.ends[number] = list(os.pipe())
            for fd in self.ends[number]:
                os.set_blocking(fd, False)
        return self.ends[number]["az".index(name[0])]

    def close_ends(self):
        for pair in self.ends.values():
            for fd in pair:
                if fd is not None:
                    os.close(fd)
        self.ends.clear()

    def do_reader(self, who, x, c):
        if (fd := self.end(x)) is not None:
            self.loop.add_reader(fd, self.ready, c, x, "reader")

    def do_writer(self, who, x, c):
        if (fd := self.end(x)) is not None:
            self.loop.add_writer(fd, self.ready, c, x, "writer")

    def ready(self, c, x, side):
        """A reader or writer that has done its operations as often as it may removes itself, or the loop would turn for ever."""
        if self.is_tired(c) and self.end(x) is not None:
            getattr(self.loop, f"remove_{side}")(self.end(x))
        self.fire(c, f" for {side} {x}")

    def do_unreader(self, who, x):
        return None if (fd := self.end(x)) is None else self.loop.remove_reader(fd)

    def do_unwriter(self, who, x):
        return None if (fd := self.end(x)) is None else self.loop.remove_writer(fd)

    def do_write(self, who, x, size):
        return self.transfer(x, lambda fd: os.write(fd, b"x" * size))

    def do_read(self, who, x, size):
        return self.transfer(x, lambda fd: len(os.read(fd, size)) or "end")

    def do_fill(self, who, x):
        """Writes until nothing more fits, to the last byte."""

        def fill(fd):
            for size in (4096, 1):
                try:
                    while True:
                        os.write(fd, b"x" * size)
                except BlockingIOError:
                    pass
            return "full"

        return self.transfer(x, fill)

    def do_drain(self, who, x):
        """Reads until nothing is left."""

        def drain(fd):
            try:
                while os.read(fd, 65536):
                    pass
                return "end"
            except BlockingIOError:
                return "empty"

        return self.transfer(x, drain)

    def do_half(self, who, x):
        def half(fd):
            copy = os.dup(fd)
            try:
                end = socket.socket(fileno=copy)
            except OSError:  # a pipe, and the socket that was not made does not close it
                os.close(copy)
                raise
            with end:
                end.shutdown(socket.SHUT_WR)
            return "ok"

        return self.transfer(x, half)

    def transfer(self, x, do):
        if (fd := self.end(x)) is None:
            return None
        try:
            return str(do(fd))
        except BlockingIOError:
            return "EAGAIN"
        except OSError as error:
            return errno.errorcode[error.errno]

    def do_shut(self, who, x):
        if (fd := self.end(x)) is not None:
            self.loop.remove_reader(fd)
            self.loop.remove_writer(fd)
            self.ends[int(x[1:])]["az".index(x[0])] = None
            os.close(fd)
