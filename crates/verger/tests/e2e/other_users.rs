//! Another user of this machine: what it cannot reach of somebody's server, and that a server of its own works.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::process::{Gid, Uid, geteuid};
use serde_json::json;
use verger_testkit::http::{UPGRADE, get};
use verger_testkit::{Client, Daemon, Home, Launch, LeakGuard};

use crate::stage::{STUBBORN, call, children, thread, touch, turn, verger};

/// Of a user that owns nothing; its group has the same number.
const OTHER: u32 = 65534;

const KEY: &str = "a key that one helper needs";

/// Does `body` as the other user. The kernel keeps a user for each thread, and this one ends with it.
fn as_other<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    let other = || {
        let (uid, gid) = (Uid::from_raw(OTHER), Gid::from_raw(OTHER));
        rustix::thread::set_thread_groups(&[]).expect("root may leave its groups");
        rustix::thread::set_thread_res_gid(gid, gid, gid).expect("root may be of any group");
        rustix::thread::set_thread_res_uid(uid, uid, uid).expect("root may be anybody");
        body()
    };
    std::thread::scope(|scope| scope.spawn(other).join().expect("it does not panic"))
}

/// A launch by the other user; where the tests do not run as root, by who runs them, who is no root either.
fn launch_as_other(home: &Home, args: &[&str]) -> Launch {
    if !geteuid().is_root() {
        return Launch::new(verger(), home, args);
    }
    let (uid, gid) = (format!("--reuid={OTHER}"), format!("--regid={OTHER}"));
    let program = verger().to_str().expect("target folders are UTF-8");
    let words = [&[&uid, &gid, "--clear-groups", program], args].concat();
    Launch::new("setpriv".as_ref(), home, &words)
}

/// Opens it in the manner of its kind, as whoever wants to know what is in it.
fn open(path: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(path)?.file_type();
    match (kind.is_dir(), kind.is_socket()) {
        (true, _) => fs::read_dir(path).map(drop),
        (_, true) => UnixStream::connect(path).map(drop),
        (..) => File::open(path).map(drop),
    }
}

/// Everything below `folder`, and itself.
fn everything(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).expect("it is this test's own") {
        let path = entry.expect("readable").path();
        match path.is_dir() {
            true => found.extend(everything(&path)),
            false => found.push(path),
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn another_user_reaches_nothing_of_a_home() {
    if !geteuid().is_root() {
        println!("SKIPPED: only root can look as another user, and these tests do not run as root");
        return;
    }
    let guard = LeakGuard::new().patience(STUBBORN);
    let home = Home::new().unwrap();
    // Whatever stands between is open: what is shut has been shut by the server.
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let own = home.path().join("own");
    let careless = "umask 0; exec \"$0\" serve --listen 127.0.0.1:0";
    let launch = Launch::new("/bin/sh".as_ref(), &home, &["-c", careless, verger().to_str().unwrap()]);
    let daemon = launch.env("VERGER_HOME", own.to_str().unwrap()).start().unwrap();
    let helper = home.bad_helper(&["polite"]).key("env", &format!("{{ KEY = {KEY:?} }}"));
    fs::write(own.join("config.toml"), home.config().server("helper", &helper).text()).unwrap();
    fs::set_permissions(own.join("config.toml"), Permissions::from_mode(0o644)).unwrap();
    let token = fs::read_to_string(own.join("token")).unwrap();
    let bearer = format!("Bearer {token}");
    let client = Client::connect(&daemon.url(), "client", &[("Authorization", &bearer)]).await.unwrap();
    client.initialize(json!({})).await;
    client.call("config/mcpServer/reload", json!({})).await;
    let fresh = thread(&client, &home).await;
    turn(&client, &fresh, "hi").await;
    let helper = touch(&client, &fresh).await;

    // What it has, as its owner sees it.
    let all = everything(&own);
    for name in ["token", "store.db", "config.toml", "verger.sock", "sock"] {
        assert!(all.iter().any(|path| path.ends_with(name)), "{name} is not in {all:?}");
    }
    for path in &all {
        open(path).unwrap_or_else(|error| panic!("its owner: {}: {error}", path.display()));
    }
    // And another: by the home's folder first, and if somebody has opened that, by each file's own mode.
    let refused = |path: &Path| {
        let kind = as_other(|| open(path)).map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::PermissionDenied), "{}", path.display());
    };
    all.iter().for_each(|path| refused(path));
    fs::set_permissions(&own, Permissions::from_mode(0o755)).unwrap();
    // The configuration is as its owner made it.
    for path in all.iter().filter(|path| **path != own && !path.ends_with("config.toml")) {
        refused(path);
    }
    fs::set_permissions(&own, Permissions::from_mode(0o700)).unwrap();

    // Nor what its processes have in their memory, and what everybody may see of them holds no secret.
    for pid in [&[daemon.pid(), helper], &children(daemon.pid())[..]].concat() {
        let environ = PathBuf::from(format!("/proc/{pid}/environ"));
        let seen = fs::read(&environ).unwrap();
        assert_eq!(pid == helper, String::from_utf8_lossy(&seen).contains(KEY), "{pid}: {seen:?}");
        refused(&environ);
        let told = as_other(|| fs::read_to_string(format!("/proc/{pid}/cmdline"))).unwrap();
        assert!(!told.is_empty() && !told.contains(&token) && !told.contains(KEY), "{told}");
    }
    // The port is everybody's: there the token holds.
    let host = format!("Host: {}", daemon.address());
    let upgrade = || get(daemon.address(), "/", &[&UPGRADE[..], &[&host]].concat());
    assert_eq!(as_other(upgrade).unwrap().status, 401);

    // Who tries by Verger's own commands is told why it cannot be, and not that there is nothing.
    for args in [&["ps"][..], &["helper", "restart", "helper"], &["serve", "--listen", "127.0.0.1:0"]] {
        let tried = launch_as_other(&home, args).env("VERGER_HOME", own.to_str().unwrap()).output().unwrap();
        let said = String::from_utf8_lossy(&tried.stderr);
        assert_eq!(tried.status.code(), Some(1), "{args:?}: {tried:?}");
        assert!(
            said.contains(own.to_str().unwrap()) && said.contains("Permission denied"),
            "{args:?}: {said}"
        );
        let remedies = ["is the state folder yours", "VERGER_HOME to a home of its own"];
        assert!(remedies.iter().any(|remedy| said.contains(remedy)), "{args:?}: {said}");
    }
    thread(&client, &home).await;
    client.close().await;
    assert!(daemon.stop().success());
    drop(home);
    guard.finish();
}

/// A home of the other user's, whose threads have one helper.
fn others_home(shape: &str) -> Home {
    let home = Home::new().expect("a temporary folder and a port");
    let config = home.config().server("helper", &home.bad_helper(&[shape]));
    home.write_config(&config.text()).expect("the home is writable");
    if geteuid().is_root() {
        home.give_to(OTHER).expect("root may give things away");
    }
    home
}

/// The user of a process, by the kernel.
fn user(pid: i32) -> u32 {
    fs::metadata(format!("/proc/{pid}")).expect("it is alive").uid()
}

/// A turn against the model, a helper, and that neither is root's.
async fn works(client: &Client, home: &Home, daemon: &Daemon) {
    let me = if geteuid().is_root() { OTHER } else { geteuid().as_raw() };
    let fresh = thread(client, home).await;
    assert_eq!(turn(client, &fresh, "hi").await["status"], "completed");
    let helper = touch(client, &fresh).await;
    assert_eq!([user(daemon.pid()), user(helper)], [me, me]);
    assert_eq!(call(client, &fresh, "echo", json!({ "text": "hi" })).await, "hi");
    let ps = launch_as_other(home, &["ps"]).output().expect("it can be executed");
    let said = String::from_utf8_lossy(&ps.stdout);
    assert!(said.contains(&fresh) && said.contains(&helper.to_string()), "{ps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_daemon_of_ones_own_works_without_root() {
    for shape in ["polite", "setsid"] {
        let guard = LeakGuard::new().patience(STUBBORN);
        let home = others_home(shape);
        let mut daemon = launch_as_other(&home, &["serve", "--listen", "127.0.0.1:0"]).start().unwrap();
        let token = home.path().join("token");
        assert_eq!(fs::metadata(&token).unwrap().uid(), user(daemon.pid()));
        let bearer = format!("Bearer {}", fs::read_to_string(&token).unwrap());
        let client = Client::connect(&daemon.url(), "client", &[("Authorization", &bearer)]).await.unwrap();
        client.initialize(json!({})).await;
        works(&client, &home, &daemon).await;
        let socket = format!("unix://{}", home.path().join("verger.sock").display());
        let in_lines = Client::open(&socket, "in lines").await;
        works(&in_lines, &home, &daemon).await;
        daemon.signal(rustix::process::Signal::TERM);
        assert!(daemon.wait(STUBBORN * 2).success(), "{}", daemon.stderr());
        assert_eq!(home.tag().live(), [], "{shape}: helpers outlived the server");
        drop((client, in_lines, home));
        guard.finish();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_app_server_of_ones_own_works_without_root() {
    for shape in ["polite", "setsid"] {
        let guard = LeakGuard::new().patience(STUBBORN);
        let home = others_home(shape);
        let (mut daemon, link) = launch_as_other(&home, &["app-server"]).start_piped();
        let client = Client::over(link, "piped");
        client.initialize(json!({})).await;
        works(&client, &home, &daemon).await;
        client.close().await;
        assert!(daemon.wait(STUBBORN * 2).success(), "{}", daemon.stderr());
        assert_eq!(home.tag().live(), [], "{shape}: helpers outlived the server");
        drop(home);
        guard.finish();
    }
}
