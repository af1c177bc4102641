//! A real shim on a real socket, and owners that die, stammer, forge and fall silent.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod owner;

use std::ffi::CString;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use owner::{Owner, folder, kill, start};
use verger_shim::protocol::{Exit, MAX_START, Order, PREFIX, Report, Stage, Start, Stop};

/// Without and, where it can be had, with a PID namespace.
fn starts(file: &Path) -> Vec<Start> {
    let within = owner::namespaces_can_be_had(&[]).then(|| Start { pidns: true, ..start(file) });
    [start(file)].into_iter().chain(within).collect()
}

#[test]
fn an_owner_that_dies_before_go_has_started_nothing() {
    let (_folder, file) = folder();
    for start in starts(&file) {
        let mut owner = Owner::new();
        owner.send_start(&start, 3);
        let helper = owner.forked();
        owner.socket.shutdown(std::net::Shutdown::Write).unwrap();
        owner.ends(helper);
        assert!(!file.exists(), "the helper ran without permission");
    }
}

#[test]
fn a_stop_before_go_has_started_nothing_either() {
    let (_folder, file) = folder();
    for start in starts(&file) {
        let mut owner = Owner::new();
        owner.send_start(&start, 3);
        let helper = owner.forked();
        // Less than the graces: nothing runs that could use them.
        owner.socket.set_read_timeout(Some(Duration::from_millis(450))).unwrap();
        owner.order(Order::Stop(Stop::Orderly));
        assert_eq!(owner.report(), Some(Report::LeaderExited(Exit::Signal(9))));
        assert_eq!(owner.report(), Some(Report::Empty { exit: Some(Exit::Signal(9)), strays: 0 }));
        owner.ends(helper);
        assert!(!file.exists(), "the helper ran without permission");
    }
}

#[test]
fn an_owner_that_leaves_at_once_leaves_no_shim() {
    let mut owner = Owner::new();
    owner.socket.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(owner.shim.wait().unwrap().success());
}

#[test]
fn half_a_start_and_a_forged_start_start_nothing() {
    let (_folder, file) = folder();
    let whole = start(&file).encode().unwrap();
    let overlong = u32::try_from(MAX_START + 1).unwrap().to_le_bytes().to_vec();
    for bytes in [whole[..whole.len() / 2].to_vec(), overlong, vec![1, 0, 0, 0, 99], vec![0; PREFIX]] {
        let mut owner = Owner::new();
        owner.socket.write_all(&bytes).unwrap();
        owner.socket.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(owner.report(), None);
        assert_eq!(owner.shim.wait().unwrap().code(), Some(70));
    }
    for fds in [1, 2, 4, 5] {
        let mut owner = Owner::new();
        owner.send_start(&start(&file), fds);
        assert_eq!(owner.report(), None, "{fds} descriptors");
        assert_eq!(owner.shim.wait().unwrap().code(), Some(70));
    }
    assert!(!file.exists());
}

#[test]
fn garbage_ends_the_helper_and_never_forges_an_order() {
    let (_folder, file) = folder();
    let go = Order::Go.encode();
    for garbage in [&[255; 64][..], &[0; 4], &[1, 0, 0, 0, 200], &[2, 0, 0, 0, 2, 2], go.as_bytes()] {
        let (mut owner, helper) = Owner::running(&start(&file));
        owner.socket.write_all(garbage).unwrap();
        owner.ends(helper);
    }
}

#[test]
fn a_silent_owner_with_half_an_order_does_not_block_reaping() {
    let (_folder, file) = folder();
    for start in starts(&file) {
        let (mut owner, helper) = Owner::running(&start);
        owner.socket.write_all(&[1, 0]).unwrap();
        kill(helper);
        assert_eq!(owner.report(), Some(Report::LeaderExited(Exit::Signal(9))));
        owner.ends(helper);
    }
}

#[test]
fn a_failed_exec_is_told_with_its_stage() {
    let (folder, file) = folder();
    let program = CString::new(folder.path().join("none").to_str().unwrap()).unwrap();
    let cwd = CString::new("/no/such/folder").unwrap();
    let cases = [
        (Start { program, ..start(&file) }, Stage::Exec),
        (Start { cwd: Some(cwd), ..start(&file) }, Stage::Chdir),
    ];
    let within = cases.clone().map(|(start, stage)| (Start { pidns: true, ..start }, stage));
    for (start, stage) in cases.into_iter().chain(within) {
        let mut owner = Owner::new();
        owner.send_start(&start, 3);
        let helper = owner.forked();
        owner.order(Order::Go);
        assert_eq!(owner.report(), Some(Report::ExecFailed { stage, errno: 2 }));
        owner.ends(helper);
    }
}
