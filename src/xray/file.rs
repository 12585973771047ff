//! The file of a trace.
//!
//! It promises that opening it never waits, follows no link and harms no other file; that only its owner may read it; and
//! that one process writes it at a time. A second one writes a file of its own, with its process id in the name, so that
//! processes which inherit the variable need no setting.
//!
//! It does not use `O_NOFOLLOW` and `O_NONBLOCK`, whose values differ from system to system: a new file is made exclusively,
//! which follows no link, and an old one is looked at before it is opened and compared after.

use crate::environment::effective_user;
use std::fs::{self, File, FileType, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The owner reads and writes; nobody else does either.
const MODE: u32 = 0o600;

/// Opens `path` for a trace, empty and locked; or `x.PID.jsonl` for an `x.jsonl` that another process writes. Returns the
/// name that was taken, too.
pub(super) fn create(path: &Path) -> io::Result<(File, PathBuf)> {
    if let Some(file) = lock(open(path)?)? {
        return Ok((file, path.to_owned()));
    }
    let extension = path.extension().unwrap_or_default().display();
    let own = path.with_extension(format!("{}.{extension}", std::process::id()));
    match lock(open(&own)?)? {
        Some(file) => Ok((file, own)),
        None => Err(refused("is written by another process")),
    }
}

/// Opens a file that is new, or old and as it should be. What is in an old one stays.
fn open(path: &Path) -> io::Result<File> {
    match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => open_old(path),
        new => new,
    }
}

fn open_old(path: &Path) -> io::Result<File> {
    let seen = fs::symlink_metadata(path)?;
    if !seen.is_file() {
        return Err(refused(&format!("is {}", kind(seen.file_type()))));
    }
    // To read and to write: that does not wait, not even if a FIFO has taken the file's place meanwhile.
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let opened = file.metadata()?;
    if (opened.dev(), opened.ino()) != (seen.dev(), seen.ino()) {
        return Err(refused("was replaced while it was opened"));
    }
    if opened.nlink() > 1 {
        return Err(refused("is known by other names, too (hard links)"));
    }
    if effective_user().is_some_and(|user| user != opened.uid()) {
        return Err(refused("belongs to another user"));
    }
    file.set_permissions(Permissions::from_mode(MODE))?;
    Ok(file)
}

/// Locks and empties the file; `None` if another process has locked it.
fn lock(file: File) -> io::Result<Option<File>> {
    // Another error is one of a file system without locks: the trace is worth more than the lock.
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return Ok(None);
    }
    file.set_len(0)?;
    Ok(Some(file))
}

fn refused(what: &str) -> io::Error {
    io::Error::new(
        ErrorKind::InvalidInput,
        format!("the file {what}; a trace goes to a new file, or to an old regular one"),
    )
}

fn kind(file: FileType) -> &'static str {
    if file.is_symlink() {
        "a symbolic link"
    } else if file.is_dir() {
        "a directory"
    } else {
        "no regular file"
    }
}
