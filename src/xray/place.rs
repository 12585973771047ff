//! Places in the program, as a trace shows them.
//!
//! It shows no path of the machine where a shorter one will do: `examples/05_stop.rs:14:5`. Two
//! crates' files of one name cannot be told apart.

use crate::trace::Place;

/// Returns `path:line:column`.
pub(super) fn place_text(place: Place) -> String {
    format!("{}:{}:{}", short_path(place.file()), place.line(), place.column())
}

/// Returns the part of a path that means the same on every machine.
///
/// The compiler gives a relative path for the package itself, and an absolute one for a dependency.
pub(super) fn short_path(path: &str) -> &str {
    if let Some(i) = path.rfind("/examples/") {
        return &path[i + 1..];
    }
    if !path.starts_with('/') {
        return path;
    }
    if let Some(i) = path.rfind("/src/") {
        return &path[i + 1..];
    }
    path.rmatch_indices('/').nth(1).map_or(path.trim_start_matches('/'), |(i, _)| &path[i + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_without_the_machine_it_was_built_on() {
        for (given, shown) in [
            ("examples/05_x.rs", "examples/05_x.rs"),
            ("src/task/mod.rs", "src/task/mod.rs"),
            ("looplab/examples/05_x.rs", "examples/05_x.rs"),
            ("/home/me/looplab/examples/05_x.rs", "examples/05_x.rs"),
            ("/home/me/examples/looplab/examples/deep/05_x.rs", "examples/deep/05_x.rs"),
            ("/home/me/looplab/src/task/mod.rs", "src/task/mod.rs"),
            ("/home/me/looplab/tests/turns.rs", "tests/turns.rs"),
            ("/one.rs", "one.rs"),
        ] {
            assert_eq!(short_path(given), shown, "{given}");
        }
    }

    #[test]
    fn a_place_has_line_and_column() {
        let here = std::panic::Location::caller();
        let shown = place_text(here);
        assert!(shown.ends_with(&format!("place.rs:{}:{}", here.line(), here.column())), "{shown}");
    }
}
