//! A full disk: refused clearly, nothing lost, and going on when there is room.

use std::fs;
use std::path::Path;

use rustix::mount::{MountFlags, mount};
use verger_core::ids::Seq;
use verger_store::{AppendError, StoreError};

use crate::children::{Child, say};
use crate::home::{FIRST, append, create, some_thread, try_open};

/// In a mount namespace of its own, so that no mount outlives the child. Where the user may not do that, the writer's
/// own test with a page limit stands alone.
#[test]
fn the_store_goes_on_when_the_disk_has_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let unshare = ["unshare", "--user", "--map-root-user", "--mount"];
    let wrapper = if rustix::process::geteuid().is_root() { &["unshare", "--mount"] } else { &unshare[..] };
    let heard = match Child::start(wrapper, "fill a tiny disk", dir.path(), "tiny") {
        Ok(mut child) => child.hear().inspect(|_| assert_eq!(child.hear(), None)),
        Err(error) => Some(format!("no unshare: {error}")),
    };
    match heard.as_deref() {
        Some("went on") => {}
        Some(refused) if refused.starts_with("no ") => eprintln!("not tested on a real disk: {refused}"),
        // `unshare` itself was refused: it said so on stderr, and no role was played.
        None if !dir.path().join("played").exists() => eprintln!("not tested on a real disk: no namespace"),
        other => panic!("{other:?}"),
    }
}

/// The child's part.
pub(crate) async fn fill_a_tiny_disk(dir: &Path) {
    fs::write(dir.join("played"), "").unwrap();
    let disk = dir.join("disk");
    fs::create_dir(&disk).unwrap();
    if let Err(error) = mount("tmpfs", &disk, "tmpfs", MountFlags::empty(), Some(c"size=2m")) {
        return say(&format!("no mount: {error}"));
    }
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let store = try_open(&disk, "run").unwrap();
    let thread = some_thread();
    let mut head = store.append(create(thread, &[])).await.unwrap();
    let text = "x".repeat(10_000);
    let error = loop {
        match store.append(append(thread, FIRST, head.0, &[&text])).await {
            Ok(new) => head = new,
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, AppendError::Store(StoreError::Full { .. })), "{error:?}");
    assert!(
        error.to_string().ends_with("store.db: the disk is full; free some space, then repeat what failed")
    );
    assert!(head > Seq(10), "{head}");
    // Still full, still there.
    assert!(store.append(append(thread, FIRST, head.0, &[&text])).await.is_err());
    assert_eq!(store.read(thread, Seq(0), usize::MAX, usize::MAX).await.unwrap().len(), head.0 as usize);

    fs::remove_file(ballast).unwrap();
    head = store.append(append(thread, FIRST, head.0, &[&text])).await.unwrap();
    store.close().await;
    let store = try_open(&disk, "later run").unwrap();
    let records = store.read(thread, Seq(0), usize::MAX, usize::MAX).await.unwrap();
    assert_eq!(records.len(), head.0 as usize);
    assert!(records.iter().all(|record| record.body == text.as_bytes()));
    store.close().await;
    say("went on");
}
