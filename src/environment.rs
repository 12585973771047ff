//! The environment variables of looplab.
//!
//! It guarantees that a process which has more rights than its user ignores all of them, with one
//! warning on standard error. A trace would write a file with those rights, and virtual time would
//! cut waits short. Linux shows the rights in `/proc`. Other systems are not checked: their calls
//! need another package or unsafe code.
//!
//! Alternative: a warning through `log`. Problem: many programs have no logger, and their users
//! would look for the trace in vain.

use std::ffi::OsString;
use std::io::Write;
use std::sync::OnceLock;

/// Returns the value of `name`; `None` if it is unset, empty or must be ignored.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
    if raised_privileges().is_some() { None } else { Some(value) }
}

/// Writes a line to standard error. A failure is ignored.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "looplab: {text}");
}

/// Returns how the process got rights that its user does not have, if it has such rights. The first
/// call decides for good: a process that drops its rights later still has an environment that it
/// cannot trust.
fn raised_privileges() -> Option<&'static str> {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let found = system::raised_privileges();
        if let Some(how) = &found {
            warn(&format!("LOOPLAB_… variables are ignored in a process with raised privileges: {how}"));
        }
        found
    });
    found.as_deref()
}

#[cfg(feature = "xray")]
pub(crate) use system::effective_user;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    pub(super) fn raised_privileges() -> Option<String> {
        None
    }

    #[cfg(feature = "xray")]
    pub(crate) fn effective_user() -> Option<u32> {
        None
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::fs;
    use std::io::ErrorKind;

    const STATUS: &str = "/proc/self/status";
    const AUXV: &str = "/proc/self/auxv";

    /// The kernel's mark of a program that was started with raised privileges, in `linux/auxvec.h`.
    const AT_SECURE: usize = 23;

    /// Compares the ids, and reads the kernel's mark. Ids differ in a set-user-id program, and in a
    /// process that has changed them itself. The mark shows file capabilities too. A file of
    /// `/proc` that cannot be read counts as raised privileges: most such processes have them.
    pub(super) fn raised_privileges() -> Option<String> {
        match fs::read(STATUS) {
            Err(error) => return Some(format!("{STATUS} cannot be read: {error}")),
            // It holds the process's name, which can be any bytes.
            Ok(status) => differing_ids(&String::from_utf8_lossy(&status)),
        }
        .or_else(|| match fs::read(AUXV) {
            Ok(auxv) => is_secure(&auxv).then(|| "the kernel marks it (AT_SECURE)".to_owned()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                Some(format!("{AUXV} cannot be read: {error}"))
            }
            Err(_) => None,
        })
    }

    /// Returns the effective user id; `None` where it cannot be seen.
    #[cfg(feature = "xray")]
    pub(crate) fn effective_user() -> Option<u32> {
        let status = fs::read(STATUS).ok()?;
        real_and_effective(&String::from_utf8_lossy(&status), "Uid:").map(|(_, effective)| effective)
    }

    fn differing_ids(status: &str) -> Option<String> {
        [("Uid:", "user"), ("Gid:", "group")].into_iter().find_map(|(key, what)| {
            match real_and_effective(status, key) {
                None => Some(format!("{STATUS} has no {key} line")),
                Some((real, effective)) if real != effective => {
                    Some(format!("real {what} id {real}, effective {what} id {effective}"))
                }
                Some(_) => None,
            }
        })
    }

    /// Reads a line `Uid: real effective saved file-system`.
    fn real_and_effective(status: &str, key: &str) -> Option<(u32, u32)> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        let mut ids = line.split_whitespace().map(str::parse);
        Some((ids.next()?.ok()?, ids.next()?.ok()?))
    }

    /// Returns whether the auxiliary vector has the mark. It is a list of (key, value) in the
    /// machine's own words.
    fn is_secure(auxv: &[u8]) -> bool {
        let (words, _) = auxv.as_chunks();
        let words: Vec<usize> = words.iter().copied().map(usize::from_ne_bytes).collect();
        words.as_chunks().0.iter().any(|[key, value]| *key == AT_SECURE && *value != 0)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// The lines of `/proc/self/status` around the ids.
        fn status(uid: &str, gid: &str) -> String {
            format!("Name:\tprogram\nUmask:\t0022\nPid:\t42\nUid:\t{uid}\nGid:\t{gid}\nFDSize:\t64\n")
        }

        #[test]
        fn ids_that_differ_are_raised_privileges() {
            let same = "1000\t1000\t1000\t1000";
            assert_eq!(differing_ids(&status(same, same)), None);
            for (uid, gid, how) in [
                ("1000\t0\t0\t0", same, "real user id 1000, effective user id 0"),
                ("0\t1000\t0\t1000", same, "real user id 0, effective user id 1000"),
                (same, "1000\t4\t4\t4", "real group id 1000, effective group id 4"),
            ] {
                assert_eq!(differing_ids(&status(uid, gid)).as_deref(), Some(how));
            }
            assert_eq!(differing_ids("Name:\tx\n").as_deref(), Some("/proc/self/status has no Uid: line"));
        }

        #[test]
        fn the_kernels_mark_is_raised_privileges() {
            let auxv = |pairs: &[[usize; 2]]| -> Vec<u8> {
                pairs.as_flattened().iter().flat_map(|word| word.to_ne_bytes()).collect()
            };
            assert!(is_secure(&auxv(&[[33, 7], [AT_SECURE, 1], [0, 0]])));
            assert!(!is_secure(&auxv(&[[33, AT_SECURE], [AT_SECURE, 0], [0, 0]])));
            assert!(!is_secure(&auxv(&[[7, AT_SECURE], [1, 1]])));
            assert!(!is_secure(&[]));
        }

        #[test]
        fn this_process_is_seen_as_the_system_sees_it() {
            use std::os::unix::fs::MetadataExt;
            let made = tempfile::NamedTempFile::new().expect("a file");
            let owner = made.as_file().metadata().expect("its owner").uid();
            assert_eq!(effective_user(), Some(owner));
            let marks = fs::read(AUXV).expect("the vector of this process");
            assert!(marks.len() > 10 * size_of::<usize>());
        }
    }
}
