//! Cgroup v2: where this process may make groups, a group per run, a leaf per helper.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, Mode, OFlags};
use tokio::io::Interest;

use crate::ready::watched;

/// The group of one run: `verger/RUN` below this process's own group.
#[derive(Clone, Debug)]
pub(crate) struct RunGroup {
    path: PathBuf,
}

impl RunGroup {
    /// Makes the group, or says why level `cgroup` is not to be had.
    pub(crate) fn create(run_id: &str) -> Result<Self, String> {
        let own = own_group()?;
        let path = own.join("verger").join(run_id);
        let refused =
            |what: &str, path: &Path, e: io::Error| format!("cannot {what} '{}': {e}", path.display());
        fs::create_dir_all(&path).map_err(|e| refused("create", &path, e))?;
        let usable = || {
            // To be born below it, a process needs the right to write to the common ancestor's list.
            let procs = own.join("cgroup.procs");
            rustix::fs::access(&procs, Access::WRITE_OK).map_err(|e| refused("write", &procs, e.into()))?;
            let kill = path.join("cgroup.kill");
            rustix::fs::access(&kill, Access::WRITE_OK).map_err(|e| refused("write", &kill, e.into()))
        };
        match usable() {
            Ok(()) => Ok(Self { path }),
            Err(reason) => {
                fs::remove_dir(&path).ok();
                Err(reason)
            }
        }
    }

    /// The group that an earlier run recorded. `None` unless it is a group, of that very run, that still exists.
    pub(crate) fn recorded(path: &Path, run_id: &str) -> Option<Self> {
        let is_runs = path.file_name() == Some(OsStr::new(run_id))
            && path.parent().and_then(Path::file_name) == Some(OsStr::new("verger"));
        (is_runs && path.join("cgroup.kill").is_file()).then(|| Self { path: path.to_path_buf() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A leaf for one helper.
    pub(crate) fn leaf(&self, id: u64) -> io::Result<Leaf> {
        let path = self.path.join(format!("h{id}"));
        fs::create_dir(&path)?;
        Ok(Leaf { path })
    }

    /// The pids in the group and in all groups below.
    pub(crate) fn members(&self) -> Vec<u32> {
        let mut pids = Vec::new();
        visit(&self.path, &mut |group| {
            let list = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            pids.extend(list.lines().filter_map(|line| line.parse::<u32>().ok()));
        });
        pids
    }

    /// Kills everyone in the group and waits, blocking, until nobody is left or `limit` has passed.
    pub(crate) fn kill_and_wait(&self, limit: Timespec) -> io::Result<bool> {
        kill(&self.path)?;
        let events = File::open(self.path.join("cgroup.events"))?;
        // One wait is enough in practice: `populated` changes once. A second change ends in another look.
        for _ in 0..2 {
            if !populated(&events)? {
                return Ok(true);
            }
            poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&limit))?;
        }
        Ok(!populated(&events)?)
    }

    /// Removes the group, which must be empty.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove_tree(&self.path)
    }
}

/// The group of one helper. Removed when dropped, or, if it is populated then, by a later sweep.
#[derive(Debug)]
pub(crate) struct Leaf {
    path: PathBuf,
}

impl Leaf {
    /// The directory, for clone3.
    pub(crate) fn dir(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(&self.path, flags, Mode::empty())?)
    }

    /// SIGKILL to everyone in it at once.
    pub(crate) fn kill(&self) -> io::Result<()> {
        kill(&self.path)
    }

    /// Waits until the kernel says `populated 0`. Kills first whoever is left; as a rule nobody is, for whom a second kill
    /// would only take the kernel's one lock for all cgroups.
    pub(crate) async fn end(&self) -> io::Result<()> {
        let events = File::open(self.path.join("cgroup.events"))?;
        if !populated(&events)? {
            return Ok(());
        }
        self.kill()?;
        let events = watched(events.into(), Interest::PRIORITY)?;
        while populated(events.get_ref())? {
            events.ready(Interest::PRIORITY).await?.clear_ready();
        }
        Ok(())
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        if let Err(e) = remove_tree(&self.path) {
            tracing::debug!(path = %self.path.display(), "a cgroup stays for the next sweep: {e}");
        }
    }
}

fn kill(group: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(group.join("cgroup.kill"))?;
    io::Write::write_all(&mut file, b"1")
}

/// Reading also arms the descriptor: it has priority data when the answer has changed since.
fn populated(events: impl AsFd) -> io::Result<bool> {
    // "populated 1\nfrozen 0\n"
    let mut text = [0; 128];
    let read = rustix::io::retry_on_intr(|| rustix::io::pread(&events, &mut text, 0))?;
    Ok(!text[..read].split(|&b| b == b'\n').any(|line| line == b"populated 0"))
}

/// Calls `f` with every group from `group` down, the deepest first.
fn visit(group: &Path, f: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            visit(&entry.path(), f);
        }
    }
    f(group);
}

/// Groups are removed one by one; a privileged helper may have made some below its own.
fn remove_tree(group: &Path) -> io::Result<()> {
    let mut result = Ok(());
    visit(group, &mut |group| {
        if let Err(e) = fs::remove_dir(group)
            && e.kind() != io::ErrorKind::NotFound
        {
            result = Err(e);
        }
    });
    result
}

/// The path of the group that this process is in.
fn own_group() -> Result<PathBuf, String> {
    let read = |path: &str| fs::read(path).map_err(|e| format!("cannot read {path}: {e}"));
    let groups = read("/proc/self/cgroup")?;
    let mounts = read("/proc/self/mountinfo")?;
    locate(&groups, &mounts)
}

fn locate(groups: &[u8], mounts: &[u8]) -> Result<PathBuf, String> {
    let own = groups
        .split(|&b| b == b'\n')
        .find_map(|line| line.strip_prefix(b"0::"))
        .ok_or("this process is in no cgroup v2")?;
    let own = Path::new(OsStr::from_bytes(own));
    mounts
        .split(|&b| b == b'\n')
        .filter_map(mount)
        .find_map(|(root, point)| Some(point.join(own.strip_prefix(root).ok()?)))
        .ok_or_else(|| "no cgroup v2 file system that shows this process's group is mounted".to_owned())
}

/// Root and mount point of a line of mountinfo, if it is a cgroup v2.
fn mount(line: &[u8]) -> Option<(PathBuf, PathBuf)> {
    let fields: Vec<&[u8]> = line.split(|&b| b == b' ').collect();
    let separator = fields.iter().position(|field| *field == b"-")?;
    (*fields.get(separator + 1)? == b"cgroup2").then_some(())?;
    Some((unescape(fields.get(3)?), unescape(fields.get(4)?)))
}

/// Mountinfo writes spaces and the like as a backslash and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok();
        match tail.get(..3).filter(|_| first == b'\\').and_then(octal) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[3..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsStr::from_bytes(&out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(own: &str, mount: &str, expected: Result<&str, &str>) {
        let groups = format!("4:memory:/x\n{own}\n");
        let mounts = format!("22 1 8:1 / / rw - ext4 /dev/sda rw\n{mount}\n");
        let got = locate(groups.as_bytes(), mounts.as_bytes());
        let got = got.as_ref().map(|path| path.to_str().unwrap()).map_err(String::as_str);
        match expected {
            Ok(path) => assert_eq!(got, Ok(path)),
            Err(part) => assert!(got.unwrap_err().contains(part)),
        }
    }

    #[test]
    fn own_group_is_found_through_any_mount() {
        let plain = "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw";
        check("0::/a/b.service", plain, Ok("/sys/fs/cgroup/a/b.service"));
        let hybrid = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
        check("0::/", hybrid, Ok("/sys/fs/cgroup/unified/"));
        let bind = "30 22 0:26 /a /mnt/my\\040groups rw - cgroup2 cgroup2 rw";
        check("0::/a/b", bind, Ok("/mnt/my groups/b"));
        check("0::/other", bind, Err("no cgroup v2 file system"));
        check("1:name=systemd:/", plain, Err("in no cgroup v2"));
    }

    #[test]
    fn only_a_runs_own_group_is_taken_from_a_record() {
        for path in ["/", "/sys/fs/cgroup", "/sys/fs/cgroup/verger/other", "/tmp/verger/me"] {
            assert!(RunGroup::recorded(Path::new(path), "me").is_none(), "{path}");
        }
    }
}
