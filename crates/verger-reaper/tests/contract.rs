//! What a caller and a helper may rely on: what a helper gets, what errors say, that nothing half-started stays.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use house::{House, kill, line, options};
use tokio::io::AsyncReadExt;
use verger_reaper::{Exit, HelperState, Level, Options, SpawnError, Spec, Stop, TOKEN_VARIABLE};

type Facts = BTreeMap<String, String>;

async fn report(house: &House, level: Level) -> Facts {
    let mut spec = house.spec("report", Some(level));
    spec.env = vec![("LANG".into(), "C".into()), (TOKEN_VARIABLE.into(), "forged".into())];
    spec.cwd = Some("/usr".into());
    let mut helper = house.reaper.spawn(spec).await.unwrap();
    let mut text = String::new();
    helper.stdout.read_to_string(&mut text).await.unwrap();
    let gone = helper.custody.gone().await.unwrap();
    assert_eq!((gone.exit, gone.strays), (Some(Exit::Code(0)), 0));
    text.lines().filter_map(|line| line.rsplit_once([' ', '\t'])).map(|(k, v)| (k.into(), v.into())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_gets_what_it_is_given_and_nothing_else() {
    // A descriptor that this process would leak into any child.
    let leaky = rustix::io::dup(std::fs::File::open("/etc/hostname").unwrap()).unwrap();
    let house = House::open(Options { nofile: Some(777), ..options() });
    for level in house.levels() {
        let facts = report(&house, level).await;
        let said =
            |key: &str| facts.get(key).map(String::as_str).unwrap_or_else(|| panic!("{key}: {facts:?}"));
        assert_eq!(said("fds [0, 1,"), "2]");
        assert_eq!(said("nofile"), "Some(777)");
        assert_eq!(said("cwd"), "/usr");
        assert_eq!(said("env [\"LANG\","), format!("\"{TOKEN_VARIABLE}\"]"));
        assert_eq!(said("leads its group"), "true");
        assert_eq!(said("SigBlk:"), "0000000000000000");
        // SIGPIPE (bit 12) is the actor's own runtime's doing.
        assert_eq!(said("SigIgn:"), "0000000000001000");
    }
    drop(leaky);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_name_what_is_wrong_and_leave_nothing() {
    let house = House::open(options());
    let bad_script = |name: &str, text: &str| {
        let path = house.state.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    };
    let lost = bad_script("lost", "#!/no/such/interpreter\n");
    let plain = bad_script("plain", "echo hello\n");
    for level in house.levels() {
        let failed = async |command: &Path| {
            let spec = Spec { level: Some(level), ..Spec::new("bad", command) };
            house.reaper.spawn(spec).await.unwrap_err().to_string()
        };
        assert!(failed(Path::new("/no/such")).await.contains("'/no/such' does not exist"));
        assert!(failed(&lost).await.ends_with("the interpreter that its first line names is missing"));
        assert!(failed(&plain).await.ends_with("neither a program nor a script with a #! line"));
    }
    let spec = Spec { args: vec!["a\0b".into()], ..Spec::new("nul", "/bin/true") };
    assert!(matches!(house.reaper.spawn(spec).await, Err(SpawnError::Nul(_))));
    let spec = Spec { args: vec!["x".repeat(7 << 20).into()], ..Spec::new("long", "/bin/true") };
    assert!(matches!(house.reaper.spawn(spec).await, Err(SpawnError::TooLong(_))));
    // More than the kernel takes in one argument, but not more than the protocol does.
    let spec = Spec { args: vec!["x".repeat(1 << 20).into()], ..Spec::new("long", "/bin/true") };
    assert!(matches!(house.reaper.spawn(spec).await, Err(SpawnError::Exec { .. })));
    // A host that called the shim's main after it had started threads.
    let late = house.reaper.spawn(Spec::new("too-late", "/bin/true")).await.unwrap_err().to_string();
    assert!(late.ends_with("before #[tokio::main]"), "{late}");
    assert!(house.reaper.list().is_empty());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spawn_that_nobody_waits_for_leaves_nothing() {
    let house = House::open(options());
    // Cancelled at every moment from before the fork to after the exec.
    for micros in (0..6000).step_by(60) {
        let spawn = house.reaper.spawn(house.spec("naked", None));
        let spawned = tokio::time::timeout(Duration::from_micros(micros), spawn).await;
        drop(spawned);
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_cycles_cost_no_descriptor() {
    let house = House::open(options());
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    for level in house.levels() {
        let mut baseline = 0;
        for cycle in 0..100 {
            let helper = house.spawn("good", Some(level)).await.unwrap();
            helper.custody.stop(Stop::Kill);
            helper.custody.gone().await.unwrap();
            drop(helper);
            if cycle == 0 {
                baseline = open();
            }
        }
        assert!(open() <= baseline, "{} descriptors, {baseline} at first", open());
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_ends_everything_and_starts_nothing() {
    let house = House::open(options());
    let mut helpers = Vec::new();
    for shape in ["good", "stubborn", "naked", "stopped"] {
        helpers.push(house.spawn(shape, None).await.unwrap());
    }
    let listed = house.reaper.list();
    assert!(listed.iter().all(|info| info.state == HelperState::Running));
    assert!(listed.iter().all(|info| info.pid.is_some() && info.shim_pid > 0));
    house.reaper.shutdown().await;
    assert_eq!(house.tag.alive(), BTreeMap::new());
    for helper in &helpers {
        helper.custody.gone().await.unwrap();
    }
    let refused = house.reaper.spawn(house.spec("good", None)).await;
    assert!(matches!(refused, Err(SpawnError::ShuttingDown)));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaders_exit_is_known_with_its_status() {
    let house = House::open(options());
    for level in house.levels() {
        let helper = house.spawn("stubborn", Some(level)).await.unwrap();
        kill(helper.custody.pid());
        helper.custody.leader_exited().await;
        let gone = helper.custody.gone().await.unwrap();
        assert_eq!(gone.exit, Some(Exit::Signal(9)));
        // Asked again it answers the same, and stopping what is gone is no error.
        helper.custody.stop(Stop::Kill);
        assert_eq!(helper.custody.gone().await.unwrap(), gone);
    }
    house.close().await;
}

/// A host with children of its own: nobody may touch those, and while one lives that could be a helper's, that helper is
/// not called gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hosts_own_children_are_not_orphans() {
    let house =
        House::open(Options { adopt_all: false, proof_limit: Duration::from_millis(300), ..options() });
    let mut helper = house.spawn("shim-killer", Some(Level::Shim)).await.unwrap();
    // Younger than the shim, so that it could be the helper's.
    #[expect(clippy::disallowed_methods, reason = "a child that is not the reaper's")]
    let mut own = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    helper.stdin.try_write(b"x").unwrap();
    let unproven = helper.custody.gone().await.unwrap_err();
    let named = format!("processes [{}] may be what it left", own.id());
    assert!(unproven.to_string().contains(&named), "{unproven}");
    assert_eq!(house.reaper.list()[0].state, HelperState::Stuck);
    assert_eq!(house.tag.alive(), BTreeMap::new(), "who has no environment is known by its mark");
    assert!(own.try_wait().unwrap().is_none(), "the host's child lives");
    own.kill().unwrap();
    own.wait().unwrap();
    // The proof comes late, but it comes.
    helper.custody.proven().await.unwrap();
    helper.custody.gone().await.unwrap();
    drop(line(&mut helper).await);
    house.close().await;
}

/// The same host, and a helper whose namespace says what is its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_proven_empty_whatever_children_the_host_has() {
    let house = House::open(Options { adopt_all: false, ..options() });
    if !house.levels().contains(&Level::Pidns) {
        println!("namespaces are forbidden here");
        return house.close().await;
    }
    let mut helper = house.spawn("naked", Some(Level::Pidns)).await.unwrap();
    // Younger than the shim, so that it could be the helper's.
    #[expect(clippy::disallowed_methods, reason = "a child that is not the reaper's")]
    let mut own = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    let [info] = &house.reaper.list()[..] else { panic!("one helper runs") };
    assert_eq!(info.level, Level::Pidns);
    assert_eq!(parent_of(helper.custody.pid()), info.root_pid);
    assert_eq!(parent_of(info.root_pid), info.shim_pid);
    kill(info.shim_pid);
    helper.custody.gone().await.unwrap();
    assert_eq!(house.tag.alive(), BTreeMap::new());
    assert!(own.try_wait().unwrap().is_none(), "the host's child lives");
    own.kill().unwrap();
    own.wait().unwrap();
    drop(line(&mut helper).await);
    house.close().await;
}

fn parent_of(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

/// A start that fails while something of it may be left is told as that, not waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_cannot_be_proven_undone_is_called_stuck() {
    let house =
        House::open(Options { adopt_all: false, proof_limit: Duration::from_millis(300), ..options() });
    let (mut own, stuck) = loop {
        let mut start = std::pin::pin!(house.spawn("good", Some(Level::Shim)));
        // Nobody announces a newborn shim, so it is looked for between the steps of the start.
        let shim = loop {
            tokio::select! {
                biased;
                _faster = &mut start => break None,
                () = tokio::task::yield_now() => {}
            }
            if let Some(shim) = house::children().into_iter().find(|&pid| is_shim(pid)) {
                break Some(shim);
            }
        };
        let Some(shim) = shim else { continue };
        // Younger than the shim, so that it could be the helper; then the shim dies without a word.
        #[expect(clippy::disallowed_methods, reason = "a child that is not the reaper's")]
        let mut own = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        // It may as well be the last round's, which is gone by now: then the start goes on.
        if let Some(shim) = house::pidfd(shim) {
            rustix::process::pidfd_send_signal(&shim, rustix::process::Signal::KILL).ok();
        }
        match start.await {
            Err(SpawnError::Stuck { cause, unproven, custody }) => {
                assert!(matches!(*cause, SpawnError::ShimDied), "{cause}");
                assert!(unproven.to_string().contains("may be what it left"), "{unproven}");
                break (own, custody);
            }
            // The helper ran already; its custody, dropped here, ends what is left.
            other => drop(other),
        }
        own.kill().unwrap();
        own.wait().unwrap();
    };
    assert_eq!(house.reaper.list()[0].state, HelperState::Stuck);
    own.kill().unwrap();
    own.wait().unwrap();
    stuck.proven().await.unwrap();
    house.close().await;
}

/// By its name: argv0 of a shim that has executed.
fn is_shim(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"verger-shim"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exited_strangers_are_collected_beside_helpers_that_come_and_go() {
    let house = House::open(options());
    let mut exits = Vec::new();
    for round in 0..20 {
        // A child that is no shim, which nobody here will wait for.
        #[expect(clippy::disallowed_methods, reason = "it stands for what comes to init of a container")]
        let stranger = std::process::Command::new("true").spawn().unwrap().id();
        // None where it has been collected already.
        let stranger = house::pidfd(stranger);
        let mut spec = house.spec("report", None);
        spec.args = vec!["-c".into(), format!("exit {round}").into()];
        spec.command = "/bin/sh".into();
        let helper = house.reaper.spawn(spec).await.unwrap();
        exits.push(helper.custody.gone().await.unwrap().exit);
        stranger.iter().for_each(house::wait_exit);
    }
    assert_eq!(exits, (0..20).map(|code| Some(Exit::Code(code))).collect::<Vec<_>>());
    // Nothing tells that a child was collected: each look is at what the kernel says now.
    let limit = house::now() + Duration::from_secs(10);
    while !house::children().is_empty() {
        assert!(house::now() < limit, "zombies stay: {:?}", house::children());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hosts_own_children_are_left_to_it() {
    #[expect(clippy::disallowed_methods, reason = "a host may have children of its own")]
    let mut own = std::process::Command::new("false").spawn().unwrap();
    house::wait_exit(&house::pidfd(own.id()).unwrap());
    // It has exited already: the first look of one that collects strangers would find it.
    let house = House::open(Options { adopt_all: false, ..options() });
    let helper = house.spawn("good", None).await.unwrap();
    helper.custody.stop(Stop::Kill);
    helper.custody.gone().await.unwrap();
    assert_eq!(own.wait().unwrap().code(), Some(1));
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_is_counted_whole_and_what_it_shares_once() {
    let house = House::open(options());
    for level in house.levels() {
        let crowd = house.spawn("crowd", Some(level)).await.unwrap();
        let tree = house.reaper.tree(&crowd.custody).unwrap();
        assert_eq!((tree.processes(), tree.usage().processes), (201, 201), "{level}");
        let copies = house.spawn("copies", Some(level)).await.unwrap();
        let tree = house.reaper.tree(&copies.custody).unwrap();
        let (block, usage) = (64 << 20, tree.usage());
        assert_eq!(usage.processes, 5, "{level}: not its neighbour's");
        assert!(
            usage.memory_bytes >= 5 * block && usage.rss_bytes > usage.memory_bytes,
            "{level}: {usage:?}"
        );
        let once = tree.shared_once();
        assert!((block..2 * block).contains(&once), "{level}: {once}");
        for helper in [crowd, copies] {
            helper.custody.stop(Stop::Kill);
            helper.custody.gone().await.unwrap();
        }
        assert_eq!(tree.usage().processes, 0, "{level}");
    }
    house.close().await;
}
