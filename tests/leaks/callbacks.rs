//! What callers give to a loop: callbacks, timers, readers, signal handlers, hooks, and what comes from other threads.

use crate::program::{BOTH, CLOSED, shapes};
use looplab::trace::Record;
use looplab::{EventLoop, ExceptionContext, Handle, Runner, TimerHandle, run_coroutine_threadsafe, sleep};
use std::cell::RefCell;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

shapes! { BOTH;
    a_loop_that_never_runs(p) {
        p.keep(p.lp.remote());
    }

    a_kept_handle(p) {
        let (first, second) = (p.guard(), p.guard());
        let handle = p.lp.call_soon(move || drop(first))?;
        p.keep(handle);
        p.turns(1)?;
        let handle = p.lp.call_soon(move || drop(second))?;
        p.keep(handle);
    }

    a_kept_timer_handle(p) {
        let (first, second) = (p.guard(), p.guard());
        let timer = p.lp.call_later(HOUR, move || drop(first))?;
        p.keep(timer);
        let timer = p.lp.call_later(Duration::ZERO, move || drop(second))?;
        p.keep(timer);
    }

    a_cancelled_handle_and_a_cancelled_timer(p) {
        let (first, second) = (p.guard(), p.guard());
        let handle = p.lp.call_soon(move || drop(first))?;
        let timer = p.lp.call_later(HOUR, move || drop(second))?;
        handle.cancel();
        timer.cancel();
        p.keep((handle, timer));
    }

    a_struct_that_holds_its_own_handle(p) {
        let own: Rc<RefCell<Option<Handle>>> = Rc::default();
        let (held, guard) = (own.clone(), p.guard());
        let handle = p.lp.call_soon(move || drop((held, guard)))?;
        *own.borrow_mut() = Some(handle);
    }

    a_struct_that_holds_its_own_timer(p) {
        let own: Rc<RefCell<Option<TimerHandle>>> = Rc::default();
        let (held, guard) = (own.clone(), p.guard());
        let timer = p.lp.call_later(HOUR, move || drop((held, guard)))?;
        *own.borrow_mut() = Some(timer);
    }

    many_timers(p) {
        for n in 0..300 {
            let guard = p.guard();
            let timer = p.lp.call_later(HOUR + Duration::from_secs(n), move || drop(guard))?;
            if n % 2 == 0 {
                timer.cancel();
            }
            p.keep(timer);
        }
        p.turns(1)?;
    }

    a_reader_and_a_writer(p) {
        let (ours, theirs) = UnixStream::pair()?;
        let (reader, writer) = (p.guard(), p.guard());
        p.lp.add_reader(&ours, move || { let _guard = &reader; })?;
        p.lp.add_writer(&theirs, move || { let _guard = &writer; })?;
        p.turns(2)?;
        p.keep_open(ours);
        p.keep_open(theirs);
    }

    a_reader_that_owns_its_socket(p) {
        let (ours, mut theirs) = UnixStream::pair()?;
        let (fd, guard) = (ours.try_clone()?, p.guard());
        p.lp.add_reader(&fd, move || { let _both = (&ours, &guard); })?;
        std::io::Write::write_all(&mut theirs, b"ready")?;
        p.turns(2)?;
        drop(fd);
        p.keep_open(theirs);
    }

    signal_handlers(p) {
        let (first, second) = (p.guard(), p.guard());
        p.lp.add_signal_handler(10, move || { let _guard = &first; })?;
        p.lp.add_signal_handler(12, move || { let _guard = &second; })?;
        p.turns(1)?;
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR1).expect("it has a handler");
        p.turns(1)?;
    }

    an_exception_handler(p) {
        let guard = p.guard();
        p.lp.set_exception_handler(Some(move |_: &EventLoop, _: &ExceptionContext| { let _guard = &guard; }));
        p.waits(sleep(HOUR));
        p.turns(1)?;
    }

    an_observer_and_hooks(p) {
        let (observer, on_park, on_unpark) = (p.guard(), p.guard(), p.guard());
        let builder = EventLoop::builder().observer(move |_: &Record<'_>| { let _guard = &observer; });
        let builder = builder.on_park(move || { let _guard = &on_park; });
        p.rebuild(builder.on_unpark(move || { let _guard = &on_unpark; }))?;
        p.waits(sleep(HOUR));
        p.turns(2)?;
    }

    a_watchdog_in_debug_mode(p) {
        p.rebuild(EventLoop::builder().debug(true).watchdog(HOUR))?;
        let guard = p.guard();
        p.lp.call_soon(move || drop(guard))?;
        p.turns(1)?;
        p.waits(sleep(HOUR));
        p.turns(1)?;
    }

    calls_of_other_threads(p) {
        for _ in 0..3 {
            let (remote, guard) = (p.lp.remote(), p.guard());
            let sent = thread::spawn(move || remote.call_soon(move || drop(guard))).join();
            sent.expect("no panic")?;
        }
        p.keep(p.lp.remote());
    }

    tasks_of_other_threads(p) {
        let (remote, guard) = (p.lp.remote(), p.guard());
        let task = thread::spawn(move || {
            run_coroutine_threadsafe(&remote, move || async move {
                let _guard = guard;
                sleep(HOUR).await
            })
        });
        let first = task.join().expect("no panic");
        p.turns(3)?;
        let (remote, guard) = (p.lp.remote(), p.guard());
        let task = thread::spawn(move || {
            run_coroutine_threadsafe(&remote, move || async move {
                let _guard = guard;
                sleep(HOUR).await
            })
        });
        p.keep((first, task.join().expect("no panic")));
    }

    a_runner(p) {
        let guard = p.guard();
        let mut runner = Runner::new();
        runner.run(async move {
            drop(guard);
            drop(looplab::create_task(sleep(HOUR)));
            looplab::yield_now().await
        })?;
        drop(runner);
    }
}

shapes! { CLOSED;
    a_callback_and_a_timer_that_hold_the_loop(p) {
        let (first, second, lp, handle) = (p.guard(), p.guard(), p.lp.clone(), p.lp.clone());
        p.lp.call_soon(move || drop((handle, first)))?;
        p.lp.call_later(HOUR, move || drop((lp, second)))?;
    }

    an_exception_handler_that_holds_the_loop(p) {
        let (lp, guard) = (p.lp.clone(), p.guard());
        p.lp.set_exception_handler(Some(move |_: &EventLoop, _: &ExceptionContext| { let _both = (&lp, &guard); }));
        p.waits(sleep(HOUR));
        p.turns(1)?;
    }

    an_observer_and_hooks_that_hold_the_loop(p) {
        type Held = Rc<RefCell<Option<EventLoop>>>;
        let held: [Held; 3] = Default::default();
        let [observer, on_park, on_unpark] = held.clone().map(|held| (held, p.guard()));
        let builder = EventLoop::builder().observer(move |_: &Record<'_>| { let _both = &observer; });
        let builder = builder.on_park(move || { let _both = &on_park; });
        p.rebuild(builder.on_unpark(move || { let _both = &on_unpark; }))?;
        for held in held {
            *held.borrow_mut() = Some(p.lp.clone());
        }
        p.turns(1)?;
    }

    a_reader_and_a_signal_handler_that_hold_the_loop(p) {
        let (ours, theirs) = UnixStream::pair()?;
        let (lp, guard) = (p.lp.clone(), p.guard());
        p.lp.add_reader(&ours, move || { let _both = (&lp, &guard); })?;
        let (lp, guard) = (p.lp.clone(), p.guard());
        p.lp.add_signal_handler(10, move || { let _both = (&lp, &guard); })?;
        p.turns(1)?;
        p.keep_open(ours);
        p.keep_open(theirs);
    }
}
