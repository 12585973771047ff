//! The documentation's search finds each name of asyncio that has a counterpart: it is an alias of an item.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// asyncio's names, as its documentation writes them.
const NAMES: &str = "
    Barrier.abort Barrier.broken Barrier.n_waiting Barrier.parties Barrier.reset Barrier.wait
    BaseExceptionGroup.message Condition.acquire Condition.locked Condition.notify Condition.notify_all
    Condition.release Condition.wait Condition.wait_for Event.clear Event.is_set Event.set Event.wait
    Future.add_done_callback Future.cancel Future.cancelled Future.done Future.exception Future.get_loop
    Future.remove_done_callback Future.result Future.set_exception Future.set_result Lock.acquire Lock.locked
    Lock.release Queue.empty Queue.full Queue.get Queue.get_nowait Queue.join Queue.maxsize Queue.put
    Queue.put_nowait Queue.qsize Queue.shutdown Queue.task_done Runner.close Runner.get_loop Runner.run
    Semaphore.acquire Semaphore.locked Semaphore.release Server.abort_clients Server.close
    Server.close_clients Server.get_loop Server.is_serving Server.serve_forever Server.sockets
    Server.start_serving Server.wait_closed StreamReader.at_eof StreamReader.exception StreamReader.feed_data
    StreamReader.feed_eof StreamReader.read StreamReader.readexactly StreamReader.readline
    StreamReader.readuntil StreamReader.set_exception StreamWriter.can_write_eof StreamWriter.close
    StreamWriter.drain StreamWriter.is_closing StreamWriter.transport StreamWriter.wait_closed
    StreamWriter.write StreamWriter.write_eof StreamWriter.writelines Task.add_done_callback Task.cancel
    Task.cancelled Task.cancelling Task.done Task.exception Task.get_loop Task.get_name
    Task.remove_done_callback Task.result Task.set_name Task.uncancel TaskGroup.cancel TaskGroup.create_task Timeout.expired
    Timeout.reschedule Timeout.when asyncio.ALL_COMPLETED asyncio.AbstractEventLoop asyncio.Barrier
    asyncio.BaseEventLoop asyncio.BoundedSemaphore asyncio.BrokenBarrierError asyncio.CancelledError
    asyncio.Condition asyncio.Event asyncio.FIRST_COMPLETED asyncio.FIRST_EXCEPTION asyncio.Future
    asyncio.Handle asyncio.Handle.cancel asyncio.Handle.cancelled asyncio.IncompleteReadError
    asyncio.InvalidStateError asyncio.LifoQueue asyncio.LimitOverrunError asyncio.Lock asyncio.PriorityQueue
    asyncio.Queue asyncio.QueueEmpty asyncio.QueueFull asyncio.QueueShutDown asyncio.Runner asyncio.Semaphore
    asyncio.Server asyncio.StreamReader asyncio.StreamWriter asyncio.Task asyncio.TaskGroup asyncio.Timeout
    asyncio.TimerHandle asyncio.TimerHandle.cancel asyncio.TimerHandle.cancelled asyncio.TimerHandle.when
    asyncio.Transport asyncio.all_tasks asyncio.as_completed asyncio.create_task asyncio.current_task asyncio.eager_task_factory
    asyncio.ensure_future asyncio.gather asyncio.get_running_loop asyncio.new_event_loop
    asyncio.open_connection asyncio.open_unix_connection asyncio.run asyncio.run_coroutine_threadsafe
    asyncio.shield asyncio.sleep asyncio.start_server asyncio.start_unix_server asyncio.timeout
    asyncio.timeout_at asyncio.to_thread asyncio.wait asyncio.wait_for concurrent.futures.ThreadPoolExecutor
    coroutine.close coroutine.send coroutine.throw group.create_task loop.add_reader loop.add_signal_handler
    loop.add_writer loop.call_at loop.call_exception_handler loop.call_later loop.call_soon
    loop.call_soon_threadsafe loop.close loop.create_future loop.create_task loop.default_exception_handler
    loop.get_debug loop.get_task_factory loop.is_closed loop.is_running loop.remove_reader loop.remove_signal_handler
    loop.remove_writer loop.run_forever loop.run_in_executor loop.run_until_complete loop.set_debug
    loop.set_default_executor loop.set_exception_handler loop.set_task_factory loop.shutdown_default_executor
    loop.slow_callback_duration loop.sock_accept loop.sock_connect loop.sock_recv_into loop.sock_recvfrom_into
    loop.sock_sendall loop.sock_sendto loop.stop loop.time signal.Signals signal.raise_signal
    types.CoroutineType Process.communicate Process.kill Process.pid Process.returncode Process.send_signal
    Process.terminate Process.wait asyncio.create_subprocess_exec asyncio.create_subprocess_shell
    asyncio.subprocess.DEVNULL asyncio.subprocess.PIPE asyncio.subprocess.Process
    asyncio.subprocess.STDOUT asyncio.SelectorEventLoop asyncio.capture_call_graph asyncio.get_event_loop
    asyncio.print_call_graph loop.subprocess_exec loop.subprocess_shell asyncio.trsock.TransportSocket loop.connect_read_pipe loop.connect_write_pipe sys.stdin
    loop.connect_accepted_socket loop.create_connection loop.create_datagram_endpoint loop.create_server
    loop.create_unix_connection loop.create_unix_server loop.sock_recv loop.sock_recvfrom
";

/// Collects what is quoted in `#[doc(alias …)]`, below a folder.
fn collect(folder: &Path, aliases: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, aliases);
            continue;
        }
        let source = fs::read_to_string(&path).expect("a source");
        for alias in source.split("#[doc(alias").skip(1) {
            let quoted = alias.split(")]").next().unwrap_or("").split('"').skip(1).step_by(2);
            aliases.extend(quoted.map(str::to_owned));
        }
    }
}

#[test]
fn every_name_of_asyncio_with_a_counterpart_is_an_alias_of_it() {
    let mut aliases = BTreeSet::new();
    collect(&support::root().join("src"), &mut aliases);
    let names: BTreeSet<&str> = NAMES.split_whitespace().collect();
    let missing: Vec<_> = names.iter().filter(|name| !aliases.contains(**name)).collect();
    assert!(missing.is_empty(), "no item has these aliases: {missing:?}");
    // And the list is whole.
    let unlisted: Vec<_> =
        aliases.iter().filter(|alias| alias.contains('.') && !names.contains(&***alias)).collect();
    assert!(unlisted.is_empty(), "not in the list: {unlisted:?}");
}
