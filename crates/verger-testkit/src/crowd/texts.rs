//! What members say: words for the fake model, which does what they tell it to. No call is made with the same text twice.

use fastrand::Rng;

/// Draws texts, and numbers those of calls.
#[derive(Debug)]
pub(super) struct Texts {
    prefix: String,
    calls: u64,
    failing: Vec<&'static str>,
}

/// In every text that goes on until someone ends it.
const ENDLESS: [&str; 2] = ["s=60", "\\\"seconds\\\":60"];

// === impl Texts ===

impl Texts {
    pub(super) fn new(seed: u64, failing: &[&'static str]) -> Self {
        Self { prefix: format!("t{seed}"), calls: 0, failing: failing.to_vec() }
    }

    /// An argument that no call had before.
    pub(super) fn token(&mut self) -> String {
        self.calls += 1;
        format!("{}-{}", self.prefix, self.calls)
    }

    pub(super) fn draw(&mut self, rng: &mut Rng) -> String {
        let (few, some) = (rng.usize(1..12), rng.usize(8..200));
        match rng.u32(0..200) {
            // Past what waits for a client in its queue, and past what cuts it.
            0..4 => format!("STREAM n={} size=7000", few * 8),
            4 => "STREAM n=140 size=9000".into(),
            5 => "FAIL status=400".into(),
            6 => "DROP after=3".into(),
            7 => "INCOMPLETE".into(),
            8..15 => "SLEEP s=60".into(),
            15..20 => self.call("helper", "slow", "\"seconds\":60,"),
            20..35 => self.call("helper", "slow", "\"seconds\":0.05,"),
            35..55 => self.call("helper", "echo", ""),
            55..75 => self.call("helper", "write", ""),
            75..90 => self.call("helper", "ask", ""),
            90..100 => {
                let lines = (0..rng.usize(2..5)).map(|_| {
                    let tool = if rng.bool() { "echo" } else { "write" };
                    self.call("helper", tool, "").split_off("CALL ".len())
                });
                format!("CALLS\n{}", lines.collect::<Vec<_>>().join("\n"))
            }
            100..115 => "THINK of nothing in particular".into(),
            115..125 if !self.failing.is_empty() => {
                let server = self.failing[rng.usize(..self.failing.len())];
                self.call(server, "echo", "")
            }
            125..170 => format!("STREAM n={} size={some} delay_ms={}", few * 8, rng.u32(0..4)),
            170..190 => format!("STREAM n={} size={some}", few * 20),
            _ => "hi".into(),
        }
    }

    fn call(&mut self, server: &str, tool: &str, more: &str) -> String {
        format!("CALL mcp__{server} {tool} {{{more}\"text\":\"{}\"}}", self.token())
    }
}

/// Whether a turn with this item goes on until someone ends it.
pub(super) fn is_endless(item: &str) -> bool {
    ENDLESS.iter().any(|mark| item.contains(mark))
}
