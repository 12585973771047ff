//! Jobs on threads.

use crate::program::{BOTH, shapes};
use looplab::{Executor, to_thread};
use std::sync::mpsc::channel;

shapes! { BOTH;
    a_job_that_runs_and_one_that_is_queued(p) {
        let pool = Executor::new(1);
        let (release, released) = channel::<()>();
        let (began, has_begun) = channel();
        let running = p.lp.run_in(&pool, move || {
            began.send(()).expect("it is waited for");
            // Ends when the program drops its sender.
            let _ = released.recv();
        })?;
        has_begun.recv().expect("it begins");
        let queued = p.lp.run_in(&pool, || ())?;
        let (itself, guard) = (queued.clone(), p.guard());
        queued.add_done_callback(move |_| drop((itself, guard)));
        p.waits(async move { running.await });
        p.turns(2)?;
        drop(release);
        pool.shutdown(true, false)?;
        p.keep(queued);
    }

    a_job_that_has_come_back_and_was_not_heard_of(p) {
        let pool = Executor::new(1);
        let job = p.lp.run_in(&pool, || String::from("result"))?;
        pool.shutdown(true, false)?;
        p.keep(job);
    }

    the_default_pool(p) {
        let (began, has_begun) = channel();
        p.waits(async move {
            to_thread(move || began.send(())).await?.expect("it is waited for");
            std::future::pending().await
        });
        p.turns(1)?;
        has_begun.recv().expect("it begins");
        let cancelled = p.lp.run_in_executor(|| ())?;
        cancelled.cancel();
        p.keep(cancelled);
    }

    a_default_pool_that_is_shut_down(p) {
        let (release, released) = channel::<()>();
        let job = p.lp.run_in_executor(move || { let _ = released.recv(); })?;
        p.waits(p.lp.shutdown_default_executor(None));
        p.turns(2)?;
        drop(release);
        p.keep(job);
    }
}
