//! Sockets, streams and servers.
//!
//! | promise | test |
//! |---|---|
//! | An operation on a socket takes asyncio's turns. | `sockets::connecting_and_accepting_take_asyncios_turns` |
//! | A cancelled operation loses no bytes and leaves no registration. | `waiting::a_read_that_is_dropped_half_way_loses_no_bytes_and_leaves_no_registration` |
//! | Datagrams arrive whole, with their sender. | `udp::a_datagram_is_received_whole_with_its_sender` |
//! | Unix sockets have paths and abstract names. | `unix::an_abstract_name_is_served_and_reached_and_shown_to_both_sides_as_in_cpython` |
//! | A stream pauses a fast sender, and closing flushes. | `streams::close_flushes_all_that_was_written` |
//! | Each read of a stream answers as CPython's. | `streams_property::every_read_answers_as_cpythons_in_the_recorded_cases` |
//! | `drain` waits between the watermarks. | `transport::drain_waits_above_the_high_watermark_until_the_low_one_and_several_may_wait` |
//! | A server accepts, serves and closes in asyncio's turns. | `server::a_connection_is_accepted_made_and_read_in_asyncios_turns` |
//! | A server binds each of its addresses once. | `server_addresses::every_address_is_bound_each_once` |
//! | A server without descriptors rests, and loses no client. | `server_resources::out_of_descriptors_is_reported_once_tried_again_a_second_later_and_loses_no_client` |
//! | Errors have asyncio's words and the system's number. | `system::errors_in_asyncios_words_keep_the_systems_number_and_kind` |
//! | Hundreds of sockets of each kind work at once and are freed. | `many_hundreds::hundreds_of_unix_connections_echo_at_once_and_are_freed` |
//! | So do ten thousand connections. | `many::ten_thousand_connections_echo_at_once_without_loss_and_leave_nothing` |
//! | A connection in memory takes the turns of TCP, the same in every run. | `memory::three_clients_of_an_echo_server_make_this_trace_each_time` |
//! | It ends and fails as one of TCP. | `memory_ends::a_closed_peer_is_noticed_as_with_tcp` |
//! | With a latency, what is sent arrives later, in order. | `latency::a_byte_arrives_after_the_latency_and_no_real_time_passes` |
//! | A socket that exists is served, whatever made it. | `given::a_listener_that_is_standard_input_is_served` |
//! | A name of both families is reached whichever answers. | `happy_eyeballs::the_family_that_answers_is_taken` |
//! | A pipe is a stream of one direction. | `pipes::bytes_and_the_end_of_a_pipe_come_in_asyncios_turns` |
//! | What connects and serves may be given wherever a body may. | `idioms::they_are_tasks` |
//! | hyper runs on the sockets, and a cancel goes through it. | `futures_io::a_cancellation_goes_through_hyper_and_is_one_again` |

mod futures_io;
mod given;
mod happy_eyeballs;
mod helpers;
mod idioms;
mod latency;
mod many;
mod many_hundreds;
mod memory;
mod memory_ends;
mod pipes;
mod server;
mod server_addresses;
mod server_resources;
mod sockets;
mod streams;
mod streams_property;
mod system;
mod transport;
mod udp;
mod unix;
mod waiting;
