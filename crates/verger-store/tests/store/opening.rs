//! Opening: what is made, what is refused, and that nothing refused is touched.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Barrier;

use rusqlite::Connection;
use rustix::process::{Uid, geteuid};
use verger_store::StoreError;

use crate::home::{Home, create, some_thread, try_open};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_folder_and_its_files_are_their_owners_alone() {
    let home = Home::new();
    let store = home.open("run");
    store.append(create(some_thread(), &["a"])).await.unwrap();
    assert_eq!(mode(&home.path()), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(home.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.path());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["store.db", "store.db-shm", "store.db-wal", "writer.flock"]);
    store.close().await;
    assert!(!home.path().join("store.db-wal").exists(), "the last to close leaves one file");
}

#[tokio::test]
async fn of_many_first_opens_one_makes_the_store() {
    let home = Home::new();
    let start = Barrier::new(6);
    let epochs: Vec<String> = std::thread::scope(|scope| {
        let opens = (0..6).map(|n| {
            let (home, start) = (&home, &start);
            scope.spawn(move || {
                start.wait();
                home.open(&format!("run{n}")).log_epoch().to_owned()
            })
        });
        opens.collect::<Vec<_>>().into_iter().map(|open| open.join().unwrap()).collect()
    });
    assert_eq!(epochs[0].len(), 32);
    assert!(epochs.iter().all(|epoch| *epoch == epochs[0]), "{epochs:?}");
    let elsewhere = Home::new().open("run").log_epoch().to_owned();
    assert_ne!(epochs[0], elsewhere);
}

/// Opens a store over what `put` left in its folder, and requires that the refusal changed no byte.
fn refusal(put: impl FnOnce(&Path)) -> StoreError {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path());
    let content = || {
        let mut files: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| !path.ends_with("writer.flock") && !path.ends_with("store.db-shm"))
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .filter(|(_, bytes)| !bytes.is_empty())
            .collect();
        files.sort();
        files
    };
    let before = content();
    let error = try_open(dir.path(), "run").unwrap_err();
    assert!(content() == before, "bytes changed: {error}");
    let message = error.to_string();
    assert!(message.starts_with(dir.path().join("store.db").to_str().unwrap()), "{message}");
    error
}

#[test]
fn another_file_is_refused_and_left_alone() {
    for text in ["hello", "SQLite format 3 is not what this is", &"long ".repeat(5_000)] {
        let error = refusal(|dir| fs::write(dir.join("store.db"), text).unwrap());
        assert!(matches!(error, StoreError::NotADatabase { .. }), "{error:?}");
    }
}

#[test]
fn another_programs_database_is_refused_and_left_alone() {
    for application_id in [0, 0x1234] {
        // With a WAL that was never moved into the file, as its program's crash would leave it.
        let error = refusal(|dir| {
            let file = dir.join("elsewhere.db");
            let conn = Connection::open(&file).unwrap();
            conn.execute_batch(&format!(
                "PRAGMA journal_mode = WAL; PRAGMA application_id = {application_id};
                 CREATE TABLE theirs (x); INSERT INTO theirs VALUES (randomblob(9999));"
            ))
            .unwrap();
            for suffix in ["", "-wal"] {
                fs::copy(dir.join(format!("elsewhere.db{suffix}")), dir.join(format!("store.db{suffix}")))
                    .unwrap();
            }
            drop(conn);
            fs::remove_file(file).unwrap();
        });
        assert!(
            matches!(error, StoreError::Foreign { application_id: id, .. } if id == application_id),
            "{error:?}"
        );
    }
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let error = refusal(|dir| {
        drop(try_open(dir, "run").unwrap());
        let conn = Connection::open(dir.join("store.db")).unwrap();
        conn.pragma_update(None, "user_version", 99).unwrap();
    });
    assert!(matches!(error, StoreError::Newer { found: 99, known: 4, .. }), "{error:?}");
}

#[tokio::test]
async fn an_empty_file_left_by_a_crash_becomes_a_store() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("store.db"), "").unwrap();
    let store = try_open(dir.path(), "run").unwrap();
    store.append(create(some_thread(), &["a"])).await.unwrap();
    store.close().await;
}

/// Runs `body` on a thread without privileges, so that permissions mean something to it.
fn unprivileged<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if geteuid().is_root() {
                let nobody = Uid::from_raw(65534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            body()
        });
        thread.join().unwrap()
    })
}

#[test]
fn what_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o555)).unwrap();
    let new = dir.path().join("store");
    let error = unprivileged(|| try_open(&new, "run").unwrap_err());
    assert_eq!(
        error.to_string(),
        format!(
            "{}: cannot be written: Permission denied (os error 13); give this user write access to it or choose \
             another state folder",
            new.display()
        )
    );

    let error = unprivileged(|| try_open(dir.path(), "run").unwrap_err());
    assert!(
        error.to_string().starts_with(&format!("{}/writer.flock: cannot be written", dir.path().display()))
    );

    // Read-only while another run has it open, so that nothing but the file itself is in the way.
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    let other = try_open(dir.path(), "other").unwrap();
    for name in ["writer.flock", "store.db-wal", "store.db-shm"] {
        fs::set_permissions(dir.path().join(name), Permissions::from_mode(0o666)).unwrap();
    }
    let file = dir.path().join("store.db");
    fs::set_permissions(&file, Permissions::from_mode(0o444)).unwrap();
    let error = unprivileged(|| try_open(dir.path(), "run").unwrap_err());
    assert!(error.to_string().starts_with(&format!("{}: cannot be written", file.display())), "{error}");
    drop(other);

    let error = try_open(&file, "run").unwrap_err();
    assert!(error.to_string().contains("cannot be written: File exists"), "{error}");
}
