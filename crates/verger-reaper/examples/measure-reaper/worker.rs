//! A worker: a process that keeps helpers in one way and does what it is told, one line each way.
//!
//! ```text
//! byte      -> nanoseconds from the decision to start a helper to its first byte
//! end N     -> nanoseconds from the decision to end N stubborn helpers, at once, to the proof that all are gone
//! private   -> bytes of private memory of each shim while 16 helpers run
//! hold N    -> pids of N stubborn helpers that stay until someone kills them or this process
//! ```

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How helpers are kept.
pub(crate) trait Keeping {
    fn first_byte(&mut self) -> Duration;
    fn end(&mut self, count: usize) -> Duration;
    fn private(&mut self) -> Vec<u64>;
    fn hold(&mut self, count: usize) -> Vec<u32>;
}

/// Obeys until stdin ends. `ballast` is how many MB this process makes itself heavier by.
pub(crate) fn work(ballast: &str, mut keeping: impl Keeping) {
    let heavy = vec![1_u8; ballast.parse::<usize>().unwrap() * 1_000_000];
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let answer = match line.split(' ').collect::<Vec<_>>()[..] {
            ["byte"] => keeping.first_byte().as_nanos().to_string(),
            ["end", count] => keeping.end(count.parse().unwrap()).as_nanos().to_string(),
            ["private"] => join(&keeping.private()),
            ["hold", count] => join(&keeping.hold(count.parse().unwrap())),
            _ => panic!("{line}: not understood"),
        };
        println!("{answer}");
    }
    drop(heavy);
}

fn join(numbers: &[impl ToString]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// A worker as the one that tells it sees it.
pub(crate) struct Worker {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Worker {
    /// `way` is `plain` or the name of a level.
    pub(crate) fn start(way: &str, ballast: usize, image: &Path) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a server to be measured, and killed")]
        let mut me = Command::new(std::env::current_exe().unwrap());
        me.args(["worker", way, &ballast.to_string()]).arg(image);
        let mut child = me.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, to, from }
    }

    pub(crate) fn numbers(&mut self, words: &str) -> Vec<u64> {
        writeln!(self.to.as_mut().unwrap(), "{words}").unwrap();
        let mut answer = String::new();
        self.from.read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n'), "the worker ended instead of answering '{words}'");
        answer.split_whitespace().map(|number| number.parse().unwrap()).collect()
    }

    pub(crate) fn time(&mut self, words: &str) -> Duration {
        Duration::from_nanos(self.numbers(words)[0])
    }

    /// SIGKILL, to the worker alone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Lets it end, if it has not been killed.
    pub(crate) fn end(mut self) {
        drop(self.to.take());
        self.child.wait().unwrap();
    }
}

/// Raises the soft limit of open files, which a thousand helpers need, and returns what it was.
pub(crate) fn raise_nofile() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    current
}
