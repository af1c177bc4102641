//! The bench: the same steps against one or two servers, in turns, so that the machine's mood hits both alike.
//!
//! Nothing here judges. A figure is worth something beside the other server's of the same run; alone it says as much
//! about the machine as about the server.

use std::time::Duration;

use tokio::time::timeout;

use self::machine::Machine;
use crate::client::NoResult;
use crate::config_file::ServerEntry;

mod fan_out;
mod figures;
mod jobs;
mod json;
mod long_thread;
mod machine;
mod report;
mod stage;
mod steps;
mod subject;
mod table;

pub use figures::{Figure, Sample};
pub use report::Report;
pub use steps::Step;
pub use subject::{Flavor, Subject};

/// What is measured, on what, how often.
#[derive(Debug, Clone)]
pub struct Bench {
    /// The first is what this is about, the second what it is compared with.
    pub subjects: Vec<Subject>,
    /// In the order in which they run.
    pub steps: Vec<Step>,
    /// How often everything is done. Each time on fresh homes, the subjects taking turns at going first.
    pub runs: usize,
    /// How much of each within one run.
    pub sizes: Sizes,
    /// An MCP server with a tool `echo`; its kind belongs into the notes.
    pub helper: ServerEntry,
    /// What the reader should know: what is missing here, and what stands in for it.
    pub notes: Vec<String>,
}

/// Counts within one run of one step.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Starts of a server, after the first one on a fresh home.
    pub starts: usize,
    /// Round trips, over all connections together.
    pub round_trips: usize,
    /// Threads started, turns run, threads resumed.
    pub threads: usize,
    /// Calls of a tool.
    pub tool_calls: usize,
    /// Threads loaded while memory is looked at.
    pub loaded: usize,
    /// Turns of a long thread, of two items each.
    pub long: usize,
    /// Followers of one thread: who read, and who do not.
    pub followers: (usize, usize),
    /// Deltas that they follow.
    pub deltas: usize,
    /// Jobs in the configuration, and of these so many that come due together.
    pub jobs: (usize, usize),
    /// How often they come due, and so many seconds apart.
    pub ticks: (usize, u64),
    /// What passes before memory is looked at: a server's start goes on for a while after its first answer.
    pub settling: Duration,
}

/// Why a step has no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The server did not do what it was asked.
    #[error(transparent)]
    NoResult(#[from] NoResult),
    /// The server did not start.
    #[error("did not start: {0}")]
    Refused(String),
    /// A turn or a tool did not do what every figure is about.
    #[error("{0}")]
    Unexpected(String),
    /// The home, or what `/proc` says of the server.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It took too long.
    #[error("not finished after {0:?}")]
    Late(Duration),
}

// === impl Sizes ===

impl Sizes {
    /// Enough for a p99 of what is quick, and for all of it together to take half a minute a run and server.
    pub const FULL: Self = Self {
        starts: 5,
        round_trips: 4000,
        threads: 30,
        tool_calls: 500,
        loaded: 50,
        long: 5_000,
        followers: (100, 20),
        deltas: 2_000,
        jobs: (10_000, 1_000),
        ticks: (10, 2),
        settling: Duration::from_secs(2),
    };

    /// Just enough for every figure to be there.
    pub const TINY: Self = Self {
        starts: 1,
        round_trips: 64,
        threads: 2,
        tool_calls: 2,
        loaded: 2,
        long: 12,
        followers: (3, 2),
        deltas: 20,
        jobs: (20, 5),
        ticks: (1, 1),
        settling: Duration::ZERO,
    };
}

// === impl Bench ===

impl Bench {
    /// Runs everything. `say` hears what begins, for people who wait.
    pub async fn run(&self, mut say: impl FnMut(&str)) -> Report {
        let names = self.subjects.iter().map(|subject| subject.name.clone()).collect();
        let mut report = Report::new(names, self.notes.clone());
        let mut machine = Machine::default();
        for run in 0..self.runs {
            if let Err(error) = machine.look(self.sizes.threads) {
                report.skip(format!("run {}: the disk by itself: {error}", run + 1));
            }
            for &step in &self.steps {
                // Who goes first may find the machine cold, or leave it hot.
                let mut order: Vec<usize> = (0..self.subjects.len()).collect();
                order.rotate_left(run % self.subjects.len().max(1));
                for subject in order {
                    let name = &self.subjects[subject].name;
                    say(&format!("run {} of {}: {step}, {name}", run + 1, self.runs));
                    let work = step.run(&self.subjects[subject], self);
                    // A step that takes longer is given up, and says so.
                    let limit = step.limit();
                    match timeout(limit, work).await.unwrap_or(Err(BenchError::Late(limit))) {
                        Ok(samples) => report.add(subject, run, samples),
                        Err(error) => report.skip(format!("run {}: {step}, {name}: {error}", run + 1)),
                    }
                }
            }
        }
        machine.notes().into_iter().for_each(|note| report.note(note));
        report
    }
}
