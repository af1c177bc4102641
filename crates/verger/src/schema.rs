//! `verger schema`: the protocol as files that other programs read.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use verger_wire::schema::{File, MARK, Pack};

use crate::cli::SchemaArgs;

/// A file carries its mark in its first line or two: no more of a stranger's file is read.
const HEAD: u64 = 256;

/// Why nothing, or not everything, was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchemaError {
    /// Something is there that no earlier run made.
    #[error("{path}: not made by `verger schema`, so it is left alone and nothing was written; move it away or choose another --out", path = .0.display())]
    Foreign(PathBuf),
    /// The file system said no.
    #[error("{path}: {source}; choose an --out that can be written", path = path.display())]
    File { path: PathBuf, source: std::io::Error },
}

pub(crate) fn schema(args: &SchemaArgs) -> Result<(), SchemaError> {
    // All is looked at before anything is touched: a refusal leaves everything as it was.
    let mut old = BTreeSet::new();
    for folder in ["json", "typescript"] {
        look(&args.out.join(folder), &mut old)?;
    }
    let files = Pack::kept().files();
    for File { path, text } in &files {
        let path = args.out.join(path);
        write(&path, text)?;
        old.remove(&path);
    }
    // Of a type that is no more, no file stays.
    old.iter().try_for_each(|path| std::fs::remove_file(path).map_err(at(path)))?;
    println!("{} files in {}", files.len(), args.out.display());
    Ok(())
}

/// Collects the files that an earlier run left below `folder`.
fn look(folder: &Path, ours: &mut BTreeSet<PathBuf>) -> Result<(), SchemaError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(at(folder))?;
        let path = entry.path();
        // A link is not followed: whatever it leads to is not ours.
        let kind = entry.file_type().map_err(at(&path))?;
        if kind.is_dir() {
            look(&path, ours)?;
        } else if kind.is_file() && has_mark(&path)? {
            ours.insert(path);
        } else {
            return Err(SchemaError::Foreign(path));
        }
    }
    Ok(())
}

fn has_mark(path: &Path) -> Result<bool, SchemaError> {
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(at(path))?;
    file.take(HEAD).read_to_end(&mut head).map_err(at(path))?;
    Ok(String::from_utf8_lossy(&head).contains(MARK))
}

fn write(path: &Path, text: &str) -> Result<(), SchemaError> {
    let folder = path.parent().expect("the path was joined from a folder and a name");
    std::fs::create_dir_all(folder).map_err(at(folder))?;
    std::fs::write(path, text).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> SchemaError {
    let path = path.to_owned();
    move |source| SchemaError::File { path, source }
}
