//! The X-ray page in a real browser, driven over its debugging pipe.
//!
//! Without Chromium the tests say so and pass. With `LOOPLAB_CHROMIUM` set (CI sets it to the
//! program) they must run. `cargo test --test page -- --ignored pictures` writes pictures of the page
//! to `target/xray/shots/`.
//!
//! | promise | test |
//! |---|---|
//! | The page's state is the loop's own at every event of every lesson, forward and back. | `lessons::the_pages_state_is_the_loops_own_and_its_sentences_are_rusts` |
//! | Each event of each lesson has the same sentence in the page and in Rust. | `lessons::the_pages_state_is_the_loops_own_and_its_sentences_are_rusts` |
//! | Each entry of each lesson has the same causes in the page and in Rust. | `lessons::the_pages_state_is_the_loops_own_and_its_sentences_are_rusts` |
//! | Keys step forward and back, and each moment has a link. | `steps::keys_step_forward_and_back_through_the_same_sentences` |
//! | Buttons, search, strip and themes do what they say. | `steps::search_strip_chips_and_theme_lead_to_their_moments` |
//! | The chain of causes of what runs is what the trace says. | `steps::the_chain_of_causes_leads_back_to_the_signal` |
//! | Arrows lead from what queued to what ran. | `steps::arrows_lead_from_what_queued_to_what_ran` |
//! | Output stands beside what printed it. | `steps::output_stands_beside_what_printed_it` |
//! | Play ends at the end, and a trace can be dropped onto the page. | `steps::play_steps_by_itself_and_a_dropped_trace_joins_the_page` |
//! | A page that is cut off anywhere opens. | `steps::a_page_that_is_cut_off_in_a_line_opens_and_ends_there` |
//! | So does the page of a program that is killed. | `steps::a_program_that_is_killed_leaves_a_page_that_ends_where_its_trace_ends` |
//! | No width scrolls sideways, and nothing is asked of a network. | `steps::no_width_scrolls_sideways` |
//! | A screen reader and keys reach everything, with enough contrast. | `steps::axe_finds_nothing_in_either_theme` |
//! | A long trace opens and steps in the time that a reader does not notice. | `speed::a_trace_of_140_000_events_opens_and_steps_at_once` |
//! | Lessons and their twins are the same in order and output. | `compare::lessons_and_their_twins_are_the_same_in_order_and_output` |
//! | The page and `tour diff` align the runs of each lesson alike. | `compare::the_page_aligns_every_lesson_and_its_twin_as_the_tour_does` |
//! | Two loops of one trace are compared. | `compare::two_loops_of_one_trace_are_compared_and_a_row_leads_to_its_moment` |
//! | Each lesson has questions, and the trace gives their answers. | `predict::each_lesson_has_two_questions_and_the_trace_gives_their_answers` |
//! | While a question is open, nothing on the page gives the answer. | `predict::what_is_to_come_is_hidden_until_the_answer` |
//! | An answer is graded and explained. | `predict::each_kind_of_question_is_graded` |
//! | A program prints the same on each CPython with `xray.py`, and its trace holds. | `python::every_twin_prints_the_same_with_xray_py_and_its_trace_holds` |
//! | The page says of a twin's run what Rust says. | `python::the_page_says_of_a_twins_run_what_rust_says` |
//! | `xray.py` runs a program with its arguments, its status and its name `__main__`. | `python::xray_py_refuses_what_it_cannot_do_and_keeps_the_programs_arguments_and_status` |
//! | `xray.py` writes the page that Rust writes. | `python::xray_py_beside_the_pages_files_makes_the_same_page` |
//! | A lesson of the lab is walked through its five steps by keys. | `lab::a_lesson_is_walked_through_its_five_steps_by_keys` |
//! | A save of a copy brings its new run to the same moment. | `lab::a_save_brings_the_new_run_to_the_same_moment` |
//! | A save of a copy of the twin is seen beside the run of Rust. | `lab::a_save_of_the_twin_is_seen_beside_the_run_of_rust` |
//! | The lab fits each width, and axe finds nothing. | `lab::the_lab_fits_each_width_and_axe_finds_nothing` |
//! | The pictures in the lessons' pages and in the README show what the page shows today. | `pictures::each_picture_shows_what_the_page_shows_today` |
//! | The pictures show the lessons in three widths and both themes. | `shots::pictures` |

mod browser;
mod compare;
mod lab;
mod lessons;
mod pictures;
mod predict;
mod python;
mod shots;
mod speed;
mod steps;

/// The schema of a trace's lines.
fn schema() -> jsonschema::Validator {
    let schema = include_str!("../../docs/trace-v1.json");
    let schema = serde_json::from_str(schema).expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is one")
}
