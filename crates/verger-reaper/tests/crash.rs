//! The owner is killed: what it owned is gone, by its shims or by the next sweep, and nothing else is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use house::{ACTOR, LeakGuard, Tag, kill};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use verger_reaper::{
    Level, LiveRun, Options, Reaper, Run, RunState, TOKEN_VARIABLE, live_runs, run_state, sweep,
};

const SHAPES: [&str; 9] =
    ["good", "stubborn", "wrapper", "grandchild", "setsid", "naked", "stopped", "chain", "crowd"];

/// A killable owner of helpers.
struct Daemon {
    child: Child,
    run: String,
    level: String,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a daemon to be killed, and processes that are no one's helpers"
)]
fn command(program: &str) -> Command {
    Command::new(program)
}

impl Daemon {
    fn start(mut command: Command, tag: &Tag, state: &Path, level: Level, shapes: &[&str]) -> Self {
        let args = [&tag.0, "daemon", state.to_str().unwrap(), &level.to_string()];
        let command = command.args(args).args(shapes).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut up = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut up).unwrap();
        let words: Vec<&str> = up.split_whitespace().collect();
        let ["up", run, level] = words[..] else { panic!("the daemon said {up:?}") };
        Self { child, run: run.to_owned(), level: level.to_owned() }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// At the same moment as its shims, of which none learns of its end.
    fn kill_with(&mut self, shims: &[u32]) {
        stop(shims);
        self.kill();
        shims.iter().for_each(|&shim| kill(shim));
    }
}

fn levels() -> Vec<Level> {
    let state = tempfile::tempdir().unwrap();
    let run = Run::begin(state.path()).unwrap();
    let options = Options { image: Some(ACTOR.into()), ..Options::default() };
    // Without its task a reaper only finds out its level.
    let (reaper, task) = Reaper::start(&run, options).unwrap();
    let levels = house::levels(&reaper);
    if let Ok(path) = std::fs::read_to_string(run.dir().join("cgroup")) {
        std::fs::remove_dir(path).unwrap();
    }
    drop(task);
    levels
}

#[test]
fn a_killed_owner_leaves_nothing_of_any_shape() {
    let guard = LeakGuard::new();
    for level in levels() {
        let (tag, state) = (Tag::new(), tempfile::tempdir().unwrap());
        let mut daemon = Daemon::start(command(ACTOR), &tag, state.path(), level, &SHAPES);
        assert_eq!(daemon.level, level.to_string());
        assert!(tag.alive().len() >= SHAPES.len() + 200);
        daemon.kill();
        let took = tag.wait_gone(Duration::from_secs(2), || guard.reap());
        println!("level {level}: every shape gone {took:?} after the SIGKILL");
        finish(&guard, state.path());
    }
}

#[test]
fn what_escapes_a_killed_shim_falls_to_the_next_sweep() {
    let guard = LeakGuard::new();
    for level in levels() {
        let (tag, state) = (Tag::new(), tempfile::tempdir().unwrap());
        let shapes = ["good", "naked", "stubborn"];
        let mut daemon = Daemon::start(command(ACTOR), &tag, state.path(), level, &shapes);
        // Owner and shims at the same moment: nobody is left who knows. The owner first, or it would adopt.
        let shims = children_of(daemon.child.id());
        assert_eq!(shims.len(), shapes.len());
        daemon.kill_with(&shims);
        let left = tag.alive();
        guard.reap();
        assert_eq!(run_state(state.path(), &daemon.run), RunState::Gone);

        let run = Run::begin(state.path()).unwrap();
        let report = sweep(state.path(), &run).unwrap();
        assert_eq!(report.runs.len(), 1);
        assert_eq!(report.runs[0].id, daemon.run);
        assert_eq!(report.runs[0].unproven, []);
        let naked = tag.alive();
        assert_eq!(naked, BTreeMap::new(), "of {left:?}");
        match level {
            // Their inits died with their shims.
            Level::Pidns => {}
            // Whoever wiped its environment and lost its shim is known by its cgroup, and by its mark.
            Level::Shim | Level::Cgroup => {
                let sits = |pid: &u32| left.get(pid).is_some_and(|line| line.contains(" sit"));
                let killed = report.runs[0].killed.iter().find(|killed| sits(&killed.pid));
                let killed = killed.expect("the naked one is reported");
                // Without its tag: arguments are nobody's business.
                assert_eq!(killed.command, "/proc/self/exe (2 arguments)");
            }
        }
        assert!(!state.path().join("runs").join(&daemon.run).exists());
        run.end().unwrap();
        guard.reap_all();
    }
}

#[test]
fn a_stopped_shim_is_woken_by_the_sweep_and_finishes() {
    let guard = LeakGuard::new();
    let (tag, state) = (Tag::new(), tempfile::tempdir().unwrap());
    let mut daemon = Daemon::start(command(ACTOR), &tag, state.path(), Level::Shim, &["naked"]);
    let shims = children_of(daemon.child.id());
    stop(&shims);
    daemon.kill();
    assert!(tag.alive().values().any(|line| line.contains(" sit")));
    let run = Run::begin(state.path()).unwrap();
    let begun = house::now();
    sweep(state.path(), &run).unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "it was not woken but outwaited: {:?}",
        begun.elapsed()
    );
    // Even the naked one: its shim was there to know it.
    assert_eq!(tag.alive(), BTreeMap::new());
    run.end().unwrap();
    guard.reap_all();
}

#[test]
fn a_sweep_waits_for_a_namespace_that_is_ending() {
    let guard = LeakGuard::new();
    if !house::namespaces_can_be_had(&[]) || !rustix::process::geteuid().is_root() {
        println!("this needs a namespace, and the right to enter it");
        return;
    }
    let (tag, state) = (Tag::new(), tempfile::tempdir().unwrap());
    let mut daemon = Daemon::start(command(ACTOR), &tag, state.path(), Level::Pidns, &["good"]);
    let shims = children_of(daemon.child.id());
    let inits = children_of(shims[0]);
    let leader = children_of(inits[0])[0];
    let (init_exit, leader_exit) = (house::pidfd(inits[0]).unwrap(), house::pidfd(leader).unwrap());
    // In there with a parent outside, which does not look at its child's death: nor can the init end.
    let mut enter = command("nsenter");
    enter.args(["--target", &leader.to_string(), "--pid", ACTOR, &tag.0, "stubborn"]);
    let mut outside = enter.stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(outside.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    stop(&[outside.id()]);
    // A signal takes its time, and one that is on its way does not keep anyone from looking.
    let outside_pid = rustix::process::Pid::from_child(&outside);
    waitid(WaitId::Pid(outside_pid), WaitIdOptions::STOPPED).unwrap();
    stop(&shims);
    daemon.kill();
    shims.iter().for_each(|&shim| kill(shim));
    house::wait_exit(&leader_exit);

    let (tell, told) = std::sync::mpsc::channel();
    let home = state.path().to_path_buf();
    let sweeping = std::thread::spawn(move || {
        let run = Run::begin(&home).unwrap();
        let report = sweep(&home, &run).unwrap();
        run.end().unwrap();
        tell.send(report).unwrap();
    });
    assert!(told.recv_timeout(Duration::from_secs(1)).is_err(), "the sweep did not wait");
    rustix::process::kill_process(outside_pid, rustix::process::Signal::CONT).unwrap();
    let report = told.recv_timeout(Duration::from_secs(9)).unwrap();
    assert_eq!((report.runs.len(), &report.runs[0].unproven[..]), (1, &[][..]));
    house::wait_exit(&init_exit);
    sweeping.join().unwrap();
    outside.wait().unwrap();
    guard.reap_all();
}

#[test]
fn a_sweep_touches_neither_a_live_run_nor_another_home_nor_a_look_alike() {
    let guard = LeakGuard::new();
    let (tag, state, other) = (Tag::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut live = Daemon::start(command(ACTOR), &tag, state.path(), Level::Shim, &["good", "naked"]);
    let mut foreign = Daemon::start(command(ACTOR), &tag, other.path(), Level::Shim, &["good"]);
    let mut dead = Daemon::start(command(ACTOR), &Tag::new(), state.path(), Level::Shim, &["good"]);
    let token = std::fs::read_to_string(state.path().join("runs").join(&dead.run).join("token")).unwrap();
    // The same program, the same name, and almost the same token; or the token in another place.
    let mut look_alikes: Vec<Child> = [
        (TOKEN_VARIABLE, token[1..].to_owned()),
        (TOKEN_VARIABLE, format!("{token}0")),
        ("MY_VERGER_RUN_TOKEN", token.clone()),
        ("NOTE", format!("{TOKEN_VARIABLE}={token}")),
    ]
    .into_iter()
    .map(|(key, value)| {
        let mut look_alike = command(ACTOR);
        look_alike.args([&tag.0, "stubborn"]).env(key, value).stdout(Stdio::piped());
        let mut look_alike = look_alike.spawn().unwrap();
        BufReader::new(look_alike.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        look_alike
    })
    .collect();
    dead.kill();
    let before = tag.alive();

    let run = Run::begin(state.path()).unwrap();
    let report = sweep(state.path(), &run).unwrap();
    assert_eq!(report.runs.iter().map(|run| &run.id).collect::<Vec<_>>(), [&dead.run]);
    assert_eq!(tag.alive(), before);
    assert_eq!(run_state(state.path(), &live.run), RunState::Live { pid: live.child.id() });
    assert_eq!(run_state(other.path(), &foreign.run), RunState::Live { pid: foreign.child.id() });
    let ids: Vec<String> = live_runs(state.path()).unwrap().into_iter().map(|run| run.id).collect();
    assert_eq!(ids, [live.run.clone(), run.id().to_owned()]);

    run.end().unwrap();
    for child in &mut look_alikes {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    live.kill();
    foreign.kill();
    tag.wait_gone(Duration::from_secs(2), || guard.reap());
    guard.reap_all();
}

#[test]
fn a_live_run_that_a_helper_of_a_dead_one_had_started_is_spared() {
    let guard = LeakGuard::new();
    // Who is started in a namespace dies with it, whoever it is.
    for level in levels().into_iter().filter(|level| *level != Level::Pidns) {
        let (tag, state) = (Tag::new(), tempfile::tempdir().unwrap());
        let house = format!("house@{}", state.path().display());
        let mut dead = Daemon::start(command(ACTOR), &tag, state.path(), level, &[&house, "setsid"]);
        let (live, family) = started_by(&dead, state.path());
        dead.kill_with(&children_of(dead.child.id()));
        guard.reap();

        let run = Run::begin(state.path()).unwrap();
        let report = sweep(state.path(), &run).unwrap();
        assert!(report.killed() > 0 && report.runs[0].unproven.is_empty(), "{report:?}");
        guard.reap();
        let alive: BTreeSet<u32> = process_ids().intersection(&family).copied().collect();
        assert_eq!(alive, family, "{report:?}");
        assert!(tag.alive().keys().all(|pid| family.contains(pid)), "{:?}", tag.alive());
        assert_eq!(run_state(state.path(), &live.id), RunState::Live { pid: live.pid });

        let family: Vec<_> = family.into_iter().map(|pid| house::pidfd(pid).unwrap()).collect();
        kill(live.pid);
        family.iter().for_each(house::wait_exit);
        guard.reap();
        let report = sweep(state.path(), &run).unwrap();
        assert_eq!(report.killed(), 0, "{report:?}");
        assert_eq!(run_state(state.path(), &dead.run), RunState::Gone);
        assert!(!state.path().join("runs").join(&dead.run).exists(), "it is kept no longer than it must be");
        run.end().unwrap();
        guard.reap_all();
    }
}

#[test]
fn a_run_that_a_helper_of_a_dead_one_had_started_sweeps_after_that_and_spares_its_own() {
    let guard = LeakGuard::new();
    for level in levels().into_iter().filter(|level| *level != Level::Pidns) {
        let (tag, state) = (Tag::new(), tempfile::tempdir().unwrap());
        let [mut ask, mut answer] = ["sweep", "swept"].map(|name| pipe(&state.path().join(name)));
        let sweeper = format!("sweeper@{}", state.path().display());
        let mut dead = Daemon::start(command(ACTOR), &tag, state.path(), level, &[&sweeper, "naked"]);
        let (live, family) = started_by(&dead, state.path());
        dead.kill_with(&children_of(dead.child.id()));
        guard.reap();

        ask.write_all(b"x").unwrap();
        let mut killed = String::new();
        BufReader::new(&mut answer).read_line(&mut killed).unwrap();
        guard.reap();
        let alive: BTreeSet<u32> = process_ids().intersection(&family).copied().collect();
        assert_eq!(alive, family, "the owner, its shim and its helper; it has killed {killed}");
        assert!(killed.trim().parse::<usize>().unwrap() > 0);
        assert!(tag.alive().keys().all(|pid| family.contains(pid)), "{:?}", tag.alive());

        let family: Vec<_> = family.into_iter().map(|pid| house::pidfd(pid).unwrap()).collect();
        kill(live.pid);
        family.iter().for_each(house::wait_exit);
        guard.reap_all();
        let run = Run::begin(state.path()).unwrap();
        let report = sweep(state.path(), &run).unwrap();
        assert!(report.killed() == 0 && report.runs.iter().all(|run| run.proven), "{report:?}");
        assert_eq!(live_runs(state.path()).unwrap().len(), 1);
        run.end().unwrap();
    }
}

#[test]
fn what_is_in_the_way_of_one_sweep_is_in_that_of_no_other() {
    let guard = LeakGuard::new();
    let (tag, state) = (Tag::new(), tempfile::tempdir().unwrap());
    let mut dead: Vec<_> =
        (0..2).map(|_| Daemon::start(command(ACTOR), &tag, state.path(), Level::Shim, &["naked"])).collect();
    for daemon in &mut dead {
        daemon.kill_with(&children_of(daemon.child.id()));
    }
    // What the older one had left word of cannot be read.
    let token = state.path().join("runs").join(&dead[0].run).join("token");
    let word = std::fs::read(&token).unwrap();
    std::fs::remove_file(&token).unwrap();
    std::fs::create_dir(&token).unwrap();
    let run = Run::begin(state.path()).unwrap();
    let report = sweep(state.path(), &run).unwrap();
    let proven: Vec<_> = report.runs.iter().map(|run| (&run.id, run.proven)).collect();
    assert_eq!(proven, [(&dead[0].run, false), (&dead[1].run, true)]);
    assert!(token.exists(), "it is kept for the next");
    std::fs::remove_dir(&token).unwrap();
    std::fs::write(&token, word).unwrap();
    let report = sweep(state.path(), &run).unwrap();
    assert!(report.runs.len() == 1 && report.runs[0].proven && report.killed() > 0, "{report:?}");
    run.end().unwrap();
    tag.wait_gone(Duration::from_secs(2), || guard.reap());
    guard.reap_all();
}

#[test]
fn who_has_no_descriptor_left_takes_nobody_for_dead() {
    let state = tempfile::tempdir().unwrap();
    let run = Run::begin(state.path()).unwrap();
    let said = command(ACTOR).args(["blind", "blind"]).arg(state.path()).arg(run.id()).output().unwrap();
    assert_eq!(String::from_utf8(said.stdout).unwrap().trim(), "Live { pid: 0 }");
    run.end().unwrap();
}

/// The other run that a helper of this one has started; and its process, its shim and its helper.
fn started_by(daemon: &Daemon, state: &Path) -> (LiveRun, BTreeSet<u32>) {
    let mut others = live_runs(state).unwrap();
    others.retain(|run| run.id != daemon.run);
    assert_eq!(others.len(), 1, "its helper has started one other");
    let live = others.remove(0);
    let shim = children_of(live.pid)[0];
    let family = BTreeSet::from([live.pid, shim, children_of(shim)[0]]);
    (live, family)
}

/// A pipe with a name, open at both ends: nobody waits for another to open it.
fn pipe(path: &Path) -> std::fs::File {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    std::fs::File::options().read(true).write(true).open(path).unwrap()
}

#[test]
fn a_shim_killer_and_its_owner_die_together() {
    let guard = LeakGuard::new();
    for level in levels() {
        let (tag, state) = (Tag::new(), tempfile::tempdir().unwrap());
        let mut daemon = Daemon::start(command(ACTOR), &tag, state.path(), level, &["shim-killer", "good"]);
        daemon.child.stdin.take().unwrap().write_all(b"x").unwrap();
        daemon.kill();
        let run = Run::begin(state.path()).unwrap();
        sweep(state.path(), &run).unwrap();
        assert_eq!(tag.alive(), BTreeMap::new(), "{level}");
        run.end().unwrap();
        guard.reap_all();
    }
}

#[test]
fn without_privileges_the_level_falls_back_and_nothing_leaks() {
    if !rustix::process::geteuid().is_root() {
        println!("this is the unprivileged case already: the other tests cover it");
        return;
    }
    let guard = LeakGuard::new();
    let (tag, state) = (Tag::new(), tempfile::tempdir().unwrap());
    let (unprivileged, home) = nobody(state.path());
    let shapes = &SHAPES[..8];
    let mut daemon = Daemon::start(unprivileged, &tag, &home, Level::Cgroup, shapes);
    assert_eq!(daemon.level, "shim");
    assert!(tag.alive().len() >= shapes.len());
    daemon.kill();
    tag.wait_gone(Duration::from_secs(2), || guard.reap());
    finish(&guard, &home);
}

#[test]
fn without_privileges_a_namespace_contains_every_shape() {
    if !rustix::process::geteuid().is_root() {
        println!("this is the unprivileged case already: the other tests cover it");
        return;
    }
    let guard = LeakGuard::new();
    let (tag, state) = (Tag::new(), tempfile::tempdir().unwrap());
    let (mut unprivileged, home) = nobody(state.path());
    if !house::namespaces_can_be_had(&NOBODY) {
        unprivileged.args([&tag.0, "daemon", home.to_str().unwrap(), "pidns", "good"]);
        let said = String::from_utf8(unprivileged.output().unwrap().stderr).unwrap();
        assert!(said.contains("'pidns' is not available") && said.contains("CAP_SYS_ADMIN"), "{said}");
        return guard.reap_all();
    }
    let mut daemon = Daemon::start(unprivileged, &tag, &home, Level::Pidns, &SHAPES);
    assert_eq!(daemon.level, "pidns");
    assert!(tag.alive().len() >= SHAPES.len() + 200);
    // Half of the shims first: their owner cleans up after them. Then the owner.
    let shims = children_of(daemon.child.id());
    assert_eq!(shims.len(), SHAPES.len());
    shims[..4].iter().for_each(|&shim| kill(shim));
    daemon.kill();
    tag.wait_gone(Duration::from_secs(5), || guard.reap());
    finish(&guard, &home);
}

#[test]
fn a_namespace_that_cannot_be_had_is_an_error_with_its_remedy() {
    let (guard, tag, state) = (LeakGuard::new(), Tag::new(), tempfile::tempdir().unwrap());
    // In a user namespace of its own the limit concerns nobody else.
    let none = "echo 0 > /proc/sys/user/max_pid_namespaces && exec \"$0\" \"$@\"";
    let mut limited = command("unshare");
    limited.args(["--user", "--map-root-user", "sh", "-c", none, ACTOR]);
    limited.args([&tag.0, "daemon", state.path().to_str().unwrap(), "pidns", "good"]);
    let said = String::from_utf8(limited.output().unwrap().stderr).unwrap();
    if said.starts_with("unshare:") {
        assert!(!house::namespaces_can_be_had(&[]), "{said}");
        return;
    }
    let expected = "no helper: containment 'pidns' is not available: cannot make a PID namespace: \
                    No space left on device (os error 28); raise user.max_pid_namespaces";
    assert!(said.contains(expected), "{said}");
    assert_eq!(tag.alive(), BTreeMap::new());
    guard.reap_all();
}

const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// The actor as a user without rights, and a home below `folder` that this user may write.
fn nobody(folder: &Path) -> (Command, PathBuf) {
    let (home, program) = (folder.join("home"), folder.join("actor"));
    std::fs::copy(ACTOR, &program).unwrap();
    std::fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(65534), Some(65534)).unwrap();
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut unprivileged = command(NOBODY[0]);
    unprivileged.args(&NOBODY[1..]).arg(&program);
    (unprivileged, home)
}

/// Nothing is left for a sweep to kill, and the run is removed by it.
fn finish(guard: &LeakGuard, state: &Path) {
    guard.reap_all();
    let run = Run::begin(state).unwrap();
    let report = sweep(state, &run).unwrap();
    assert_eq!(report.runs.len(), 1);
    assert_eq!(report.runs[0].killed, []);
    run.end().unwrap();
}

/// Of everyone on this machine.
fn process_ids() -> BTreeSet<u32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect()
}

fn children_of(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let lists = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).unwrap());
    lists
        .flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>())
        .collect()
}

fn stop(pids: &[u32]) {
    for &pid in pids {
        let pidfd = house::pidfd(pid).unwrap();
        rustix::process::pidfd_send_signal(&pidfd, rustix::process::Signal::STOP).unwrap();
    }
}
