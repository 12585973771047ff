//! What the repository says about itself: the tour, the pages, the traces, the table of differences.
//!
//! | promise | test |
//! |---|---|
//! | The tour marks a lesson ✓ only if its output is the transcript. | `tour::run::every_lesson_gets_a_mark_and_one_cross_makes_the_exit_status_1` |
//! | `tour step` goes back, says why, and asks what comes next. | `tour::traces::step_goes_back_says_why_and_asks_on_a_terminal` |
//! | The tables in the lessons' pages are what the lessons write. | `pages::every_table_in_the_lessons_pages_is_what_the_lesson_writes` |
//! | Each lesson and the README show a picture. | `pictures::each_lesson_and_the_readme_show_their_picture` |
//! | The state rebuilt from a lesson's trace is the loop's own. | `lesson_traces::the_state_rebuilt_from_the_trace_is_the_loops_own_at_every_event_of_every_lesson` |
//! | A trace says which entries are looplab's own. | `traces::origins::entries_that_looplab_makes_for_itself_are_marked_as_its_own` |
//! | A trace goes to a private file, one for each process. | `traces::a_child_that_inherits_the_variable_writes_a_file_of_its_own` |
//! | The schema takes a line of each kind. | `schema::the_schema_takes_a_line_of_every_kind` |
//! | A place is a line of the program, never of looplab. | `places::servers_and_connections_name_the_lines_that_made_them` |
//! | The walks through the code name lines that exist. | `walks::every_step_of_the_walks_is_the_line_that_the_page_names` |
//! | The counts that the architecture names are those that CI holds. | `budgets::the_architecture_names_the_limits_that_ci_holds` |
//! | Each difference from CPython names its test. | `references::every_row_of_the_differences_names_a_test_that_exists` |
//! | Each "Why" of a lesson's page names what shows it. | `references::every_why_of_the_lessons_names_what_shows_it` |
//! | Each claim of the four documents has a lesson or a reason. | `references::every_claim_of_the_documents_names_a_lesson_that_exists_or_a_reason` |
//! | Facts of the pages beside the transcripts hold. | `truth::other_tasks_go_on_while_a_cleanup_runs_outside` |
//! | Facts about CPython alone hold on each CPython that answers. | `facts::cpython_does_what_the_pages_say_of_it` |
//! | `tour find` leads from what a program says to its lesson. | `symptoms::what_a_program_says_leads_to_the_lesson_that_explains_it` |
//! | It leads from a name of asyncio to what it is in looplab. | `symptoms::a_name_of_asyncio_leads_to_what_it_is_in_looplab` |
//! | A machine without any other program shows every lesson. | `bare_machine::a_machine_without_any_other_program_shows_every_lesson` |
//! | Each example names its page and the next lesson. | `reading_order::each_example_names_its_page_and_the_next_one_and_each_is_reached_from_the_first` |
//! | The search finds asyncio's names. | `aliases::every_name_of_asyncio_with_a_counterpart_is_an_alias_of_it` |
//! | The pages of the chapters quote them, and show what breaks them. | `chapters::every_block_in_the_pages_is_what_the_chapters_have` |
//! | The lab answers only its own page, with the key. | `lab::only_requests_with_the_key_from_this_page_are_answered` |
//! | An address of the lab never names a file. | `lab::an_address_names_what_there_is_and_never_a_file` |
//! | A program of the lab ends at its limits, with its client, and with the lab. | `lab::a_program_is_killed_with_its_group_at_its_limits` |
//! | Each lesson has an exercise, and its solution solves it. | `lab::each_exercise_is_solved_by_its_solution_in_python` |
//! | So does each promise in a table like this one. | `references::every_promise_of_a_test_program_names_a_test_that_exists` |

mod aliases;
mod bare_machine;
mod budgets;
mod chapters;
mod facts;
mod lab;
mod lesson_traces;
mod pages;
mod pictures;
mod places;
mod reading_order;
mod references;
mod schema;
mod symptoms;
mod tour;
mod traces;
mod truth;
mod walks;
