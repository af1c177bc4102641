//! A temporary home for a server under test: its folder, its model, the tag and the log of its helpers.

use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use serde_json::Value;

use crate::clock::now;
use crate::config_file::{ConfigFile, ServerEntry};
use crate::fake_model::FakeModel;
use crate::{RunTag, bad_helper};

/// One home, removed when dropped.
#[derive(Debug)]
pub struct Home {
    dir: tempfile::TempDir,
    model: FakeModel,
    tag: RunTag,
}

// === impl Home ===

impl Home {
    /// A new folder with a fake model that listens, and no configuration yet.
    ///
    /// # Errors
    ///
    /// The folder's or the listener's.
    pub fn new() -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("verger-test-").tempdir()?;
        fs::create_dir(dir.path().join("work"))?;
        fs::create_dir(dir.path().join("helpers"))?;
        Ok(Self { dir, model: FakeModel::start()?, tag: RunTag::new() })
    }

    /// What `VERGER_HOME` is set to.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A folder for threads to work in, as the kernel names it.
    ///
    /// # Panics
    ///
    /// When someone removed it.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.path().join("work").canonicalize().expect("the home made this folder")
    }

    /// The endpoint that the configuration names.
    #[must_use]
    pub fn model(&self) -> &FakeModel {
        &self.model
    }

    /// On every process of every bad-helper of this home.
    #[must_use]
    pub fn tag(&self) -> &RunTag {
        &self.tag
    }

    /// A configuration with this home's model and nothing else.
    #[must_use]
    pub fn config(&self) -> ConfigFile {
        ConfigFile::with_model(&self.model.base_url())
    }

    /// Puts `config.toml` in place, atomically.
    ///
    /// # Errors
    ///
    /// The file's.
    pub fn write_config(&self, text: &str) -> io::Result<()> {
        let fresh = self.path().join("config.toml.new");
        fs::write(&fresh, text)?;
        fs::rename(fresh, self.path().join("config.toml"))
    }

    /// A bad-helper with this home's tag and event log. `mode` may end in the mode's parameter.
    #[must_use]
    pub fn bad_helper(&self, mode: &[&str]) -> ServerEntry {
        self.helper(bad_helper::path(), mode)
    }

    /// The same, of a bad-helper that is somewhere else than beside a test.
    #[must_use]
    pub fn helper(&self, program: &Path, mode: &[&str]) -> ServerEntry {
        let log = self.log();
        let tail = ["--tag", self.tag.as_str(), "--log", log.to_str().expect("temporary folders are UTF-8")];
        let args = ["--mode"].iter().chain(mode).chain(&tail).map(|word| (*word).to_owned());
        ServerEntry::new(program.to_str().expect("target folders are UTF-8"), args)
    }

    /// A named pipe in the home, open for both ends, so that neither waits for the other.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn pipe(&self, name: &str) -> io::Result<(PathBuf, fs::File)> {
        let path = self.path().join(name);
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)?;
        let both = fs::File::options().read(true).write(true).open(&path)?;
        Ok((path, both))
    }

    /// Makes `uid` the owner of everything in it, for a server that runs as another user than the test.
    ///
    /// # Errors
    ///
    /// The kernel's: it takes root to give things away.
    pub fn give_to(&self, uid: u32) -> io::Result<()> {
        give(self.path(), uid)
    }

    /// What the helpers of this home logged, oldest first.
    ///
    /// # Panics
    ///
    /// When the log holds something else than JSON lines.
    #[must_use]
    pub fn helper_events(&self, event: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("whole JSON lines"));
        lines.filter(|line| line["ev"] == event).collect()
    }

    /// Blocks until the helpers of this home have logged `event` at least `count` times; those events.
    ///
    /// # Panics
    ///
    /// When they have not in 15 s.
    pub fn wait_for_helper_event(&self, event: &str, count: usize) -> Vec<Value> {
        let deadline = now() + Duration::from_secs(15);
        let inotify = inotify::init(inotify::CreateFlags::CLOEXEC).expect("a descriptor for inotify");
        let changes = inotify::WatchFlags::CREATE | inotify::WatchFlags::MODIFY;
        let folder = self.path().join("helpers");
        inotify::add_watch(&inotify, folder, changes).expect("the home made this folder");
        let mut buffer = [const { MaybeUninit::uninit() }; 4096];
        loop {
            // Read after the watch began, so that no line is missed.
            let events = self.helper_events(event);
            if events.len() >= count {
                return events;
            }
            let left = deadline.saturating_duration_since(now());
            assert!(
                !left.is_zero(),
                "helpers logged {event} {} times in 15 s, not {count} times",
                events.len()
            );
            let left = Timespec::try_from(left).expect("15 s fit a timespec");
            let changed = poll(&mut [PollFd::new(&inotify, PollFlags::IN)], Some(&left));
            if changed.expect("poll on inotify") > 0 {
                // What changed does not matter, only that the next poll waits for the next change.
                inotify::Reader::new(&inotify, &mut buffer).next().expect("inotify is readable");
            }
        }
    }

    fn log(&self) -> PathBuf {
        self.path().join("helpers/events.jsonl")
    }
}

fn give(path: &Path, uid: u32) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), uid)?;
        }
    }
    std::os::unix::fs::lchown(path, Some(uid), Some(uid))
}
