//! A helper in a PID namespace: what it sees, who ends it, and what is said where there is none to be had.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod owner;

use std::ffi::CString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use owner::{Owner, SHIM, command, folder, kill, namespaces_can_be_had, start};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use verger_shim::protocol::{Exit, Order, Report, Stage, Start};

/// ENOSPC, EPERM and EACCES.
const NO_SPACE: i32 = 28;
const FORBIDDEN: [i32; 2] = [1, 13];

/// A helper in a namespace that runs `script` as a shell does.
fn within(file: &Path, script: &str) -> Start {
    let script = CString::new(script.replace("FILE", file.to_str().unwrap())).unwrap();
    let argv = vec![c"sh".to_owned(), c"-c".to_owned(), script];
    Start { pidns: true, argv, ..start(file) }
}

/// What it writes: its own pid and its parent's, its user and group, who else is in its `/proc`, and its descriptors'.
const LOOK: &str = r#"
    { echo $$ $PPID $(id -u) $(id -g); cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l; ls /proc/1/fd | wc -l; } > FILE
    kill -KILL 1; kill -STOP 1
"#;

fn looked(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_helper_sees_itself_and_cannot_touch_its_init() {
    if !namespaces_can_be_had(&[]) {
        return println!("namespaces are forbidden here: the other tests ask what is said then");
    }
    let (_folder, file) = folder();
    let (mut owner, helper) = Owner::running(&within(&file, LOOK));
    // Its signals went nowhere: it ended as it wanted to, and its init told so.
    assert_eq!(owner.report(), Some(Report::LeaderExited(Exit::Code(0))));
    assert_eq!(owner.report(), Some(Report::Empty { exit: Some(Exit::Code(0)), strays: 0 }));
    owner.ends(helper);
    let (user, group) = (rustix::process::geteuid().to_string(), rustix::process::getegid().to_string());
    let [pid, parent, uid, gid, init, processes, fds] = &looked(&file)[..] else { panic!("it wrote less") };
    assert_eq!((&pid[..], &parent[..], &init[..]), ("2", "1", "verger-init"));
    assert_eq!((uid, gid), (&user, &group));
    // The init, the shell, its subshell or the two ends of its pipe, and no one of the machine's.
    assert!(processes.parse::<u32>().unwrap() <= 5, "{processes} processes");
    // Its stdio, which is /dev/null, and what it tells its shim by.
    assert_eq!(fds, "4");
}

#[test]
fn strays_are_counted_without_the_init() {
    if !namespaces_can_be_had(&[]) {
        return println!("namespaces are forbidden here: the other tests ask what is said then");
    }
    let (_folder, file) = folder();
    let start = within(&file, "setsid sleep 1000 & exit 3");
    let (mut owner, helper) = Owner::running(&start);
    assert_eq!(owner.report(), Some(Report::LeaderExited(Exit::Code(3))));
    assert!(matches!(owner.report(), Some(Report::Stray(stray)) if stray.name() == "sleep"));
    assert_eq!(owner.report(), Some(Report::Empty { exit: Some(Exit::Code(3)), strays: 1 }));
    owner.ends(helper);
}

#[test]
fn a_killed_shim_or_init_takes_everyone_along() {
    if !namespaces_can_be_had(&[]) {
        return println!("namespaces are forbidden here: the other tests ask what is said then");
    }
    let (_folder, file) = folder();
    for init_too in [false, true] {
        let (mut owner, helper) = Owner::running(&within(&file, "setsid sleep 1000 & sleep 1000"));
        let init = parent(helper);
        let init_exit = pidfd_open(Pid::from_raw(init.cast_signed()).unwrap(), PidfdFlags::empty()).unwrap();
        assert_eq!(parent(init), owner.shim.id());
        kill(if init_too { init } else { owner.shim.id() });
        if init_too {
            // The kernel has killed it with its init.
            assert_eq!(owner.report(), Some(Report::LeaderExited(Exit::Signal(9))));
            assert_eq!(owner.report(), Some(Report::Empty { exit: Some(Exit::Signal(9)), strays: 0 }));
        }
        // Nobody else does it: a shim that is killed says nothing and kills nobody.
        owner::wait_exit(&init_exit);
        owner.ends(helper);
    }
}

fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn without_privileges_a_user_namespace_keeps_the_user() {
    if !rustix::process::geteuid().is_root() {
        return println!("this is the unprivileged case already: the other tests cover it");
    }
    let (folder, file) = folder();
    // Where nobody can execute it and write.
    let shim = folder.path().join("verger-shim");
    std::fs::copy(SHIM, &shim).unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut unprivileged = command(wrapper[0]);
    unprivileged.args(&wrapper[1..]).arg(shim);
    let mut owner = Owner::of(unprivileged);
    owner.send_start(&within(&file, LOOK), 3);
    match owner.report() {
        Some(Report::Forked { pid, .. }) => {
            owner.order(Order::Go);
            assert_eq!(owner.report(), Some(Report::Running));
            assert_eq!(owner.report(), Some(Report::LeaderExited(Exit::Code(0))));
            owner.ends(pid);
            // It may not look at its init's descriptors, which has every right in here.
            assert_eq!(looked(&file)[..5], ["2", "1", "65534", "65534", "verger-init"]);
        }
        Some(Report::ExecFailed { stage: Stage::Namespace | Stage::Identity | Stage::Proc, errno }) => {
            assert!(!namespaces_can_be_had(&wrapper), "they can be had");
            assert!(FORBIDDEN.contains(&errno), "{errno}");
            owner.shim.wait().unwrap();
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_namespace_too_many_is_told_and_nothing_runs() {
    let (_folder, file) = folder();
    // In a user namespace of its own the limit concerns nobody else.
    let none = "echo 0 > /proc/sys/user/max_pid_namespaces && exec \"$0\"";
    let mut limited = command("unshare");
    limited.args(["--user", "--map-root-user", "sh", "-c", none, SHIM]);
    let mut owner = Owner::of(limited);
    owner.send_start(&within(&file, LOOK), 3);
    let Some(Report::ExecFailed { stage: Stage::Namespace, errno }) = owner.report() else {
        return assert!(!namespaces_can_be_had(&[]), "they can be had");
    };
    assert_eq!(errno, NO_SPACE);
    assert_eq!(owner.report(), Some(Report::Empty { exit: None, strays: 0 }));
    assert!(owner.shim.wait().unwrap().success());
    assert!(!file.exists());
}
