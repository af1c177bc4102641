//! The crowd at work: steps are drawn from a seed and taken by several members at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use futures_util::future::join_all;
use serde_json::json;

use super::member::Member;
use super::plan::Plan;
use super::position::Cursor;
use super::step::{Place, Step};
use super::tally::Tally;
use super::texts::Texts;
use super::view::View;
use crate::client::NoResult;

/// What a client cut for its slowness is told.
const SLOW_CONSUMER: u16 = 4408;

/// How many threads a member follows at most.
const FOLLOWS: usize = 3;

/// Something that may not be, and where it came to light.
#[derive(Debug, thiserror::Error)]
#[error("seed {seed}, step {step}:\n  {}", faults.join("\n  "))]
pub struct Broken {
    /// Draws the same again.
    pub seed: u64,
    /// How many steps had been taken.
    pub step: u64,
    /// In words.
    pub faults: Vec<String>,
}

/// Members and the threads that they work on.
#[derive(Debug)]
pub struct World {
    pub(super) plan: Plan,
    pub(super) rng: Rng,
    texts: Texts,
    /// Where members connect.
    pub(super) place: Place,
    /// Where scribes do: past whatever disturbs the members.
    pub(super) direct: Place,
    folder: PathBuf,
    pub(super) members: Vec<Member>,
    pub(super) topics: Vec<Topic>,
    born: usize,
    pub(super) tally: Tally,
}

/// A thread and its scribe.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) thread: String,
    pub(super) scribe: Member,
    /// Someone reverted it since the last comparison.
    pub(super) reverted: bool,
}

// === impl World ===

impl World {
    /// Connects nobody yet but the scribes, to the server at `direct`; members will connect to `url`. Threads work in `folder`.
    ///
    /// # Errors
    ///
    /// When the server does not let a thread begin.
    pub async fn begin(plan: Plan, direct: &str, url: &str, folder: &Path) -> Result<Self, Broken> {
        let members =
            (0..plan.members).map(|number| Member::new(&format!("member-{number}"), false)).collect();
        let place = |url: &str| Place { url: url.to_owned(), life: 1 };
        let mut world = Self {
            rng: Rng::with_seed(plan.seed),
            texts: Texts::new(plan.seed, &plan.failing),
            place: place(url),
            direct: place(direct),
            folder: folder.to_owned(),
            members,
            topics: Vec::new(),
            born: 0,
            tally: Tally::default(),
            plan,
        };
        world.fill().await?;
        Ok(world)
    }

    /// Takes all steps of the plan, comes to rest now and then, and at the end.
    ///
    /// # Errors
    ///
    /// The first thing that may not be.
    pub async fn run(&mut self) -> Result<(), Broken> {
        let mut next = self.plan.between;
        while self.taken() < self.plan.steps {
            self.batch().await?;
            if self.taken() >= next {
                self.rest().await?;
                eprintln!("seed {}: {} steps, all at rest", self.plan.seed, self.taken());
                if self.rng.u32(0..3) == 0 {
                    self.empty().await?;
                    self.return_scribes().await?;
                }
                next += self.plan.between;
            }
        }
        self.rest().await?;
        self.empty().await?;
        self.return_scribes().await?;
        self.rest().await
    }

    /// What was done so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = self.tally.clone();
        for member in &self.members {
            let (replays, snapshots) = member.answers();
            tally.answers.0 += replays;
            tally.answers.1 += snapshots;
        }
        tally
    }

    /// Another server serves the same home at `url`: scribes follow their threads again from where they were. Members come when
    /// they will.
    pub(super) async fn moved(&mut self, url: &str) -> Result<(), Broken> {
        for place in [&mut self.place, &mut self.direct] {
            *place = Place { url: url.to_owned(), life: place.life + 1 };
        }
        self.scatter().await;
        for topic in &mut self.topics {
            topic.scribe.leave().await;
        }
        self.return_scribes().await
    }

    /// How many are connected, scribes among them.
    pub(super) fn connections(&self) -> usize {
        let everyone = self.members.iter().chain(self.topics.iter().map(|topic| &topic.scribe));
        everyone.filter(|member| member.is_connected()).count()
    }

    /// Every member drops its connection.
    pub(super) async fn scatter(&mut self) {
        for member in &mut self.members {
            member.leave().await;
            member.read_on();
        }
    }

    fn taken(&self) -> usize {
        usize::try_from(self.tally.taken()).unwrap_or(usize::MAX)
    }

    /// Some steps at once, by different members.
    pub(super) async fn batch(&mut self) -> Result<(), Broken> {
        let mut chosen: BTreeMap<usize, Step> = BTreeMap::new();
        for _ in 0..self.rng.usize(1..=12) {
            let number = self.rng.usize(..self.members.len());
            if !chosen.contains_key(&number)
                && let Some(step) = self.draw(number)
            {
                chosen.insert(number, step);
            }
        }
        let place = &self.place;
        let work = self.members.iter_mut().enumerate().filter_map(|(number, member)| {
            let step = chosen.remove(&number)?;
            Some(async move {
                let done = member.perform(step.clone(), place).await;
                (number, step, done)
            })
        });
        let mut faults = Vec::new();
        for (number, step, done) in join_all(work).await {
            let kind = step.kind();
            self.tally.step(kind);
            // One whose answer was lost with its connection may have been carried out as well.
            if let (Step::Revert { thread, .. }, Ok(()) | Err(NoResult::Closed)) = (&step, &done) {
                let topics = self.topics.iter_mut().filter(|topic| topic.thread == *thread);
                topics.for_each(|topic| topic.reverted = true);
            }
            match done {
                Ok(()) => {}
                Err(error @ NoResult::Refused { code, .. }) => {
                    // A call outside of a turn fails with what its helper said.
                    if code == -32603 && kind != "call" {
                        faults.push(format!("{}: {step:?}: {error}", self.members[number].name));
                    }
                    self.tally.refusal(kind, &error);
                }
                Err(NoResult::Closed | NoResult::Unreachable { .. }) => {
                    faults.extend(self.lost(number).await);
                }
                Err(error) => faults.push(format!("{}: {step:?}: {error}", self.members[number].name)),
            }
        }
        faults.extend(self.noticed().await);
        faults.extend(self.in_flight());
        self.judge(faults)
    }

    /// Fails with what was found, where something was.
    pub(super) fn judge(&mut self, mut faults: Vec<String>) -> Result<(), Broken> {
        let everyone = self.members.iter().chain(self.topics.iter().map(|topic| &topic.scribe));
        faults.extend(everyone.flat_map(Member::faults));
        if faults.is_empty() {
            return Ok(());
        }
        Err(Broken { seed: self.plan.seed, step: self.tally.taken(), faults })
    }

    /// The connection of this member is gone; what is wrong with that.
    async fn lost(&mut self, number: usize) -> Option<String> {
        let member = &mut self.members[number];
        let code = member.goodbye().and_then(|goodbye| goodbye.code);
        member.leave().await;
        member.read_on();
        if code == Some(SLOW_CONSUMER) || (code.is_none() && member.has_stalled()) {
            self.tally.slow += 1;
            return None;
        }
        self.tally.lost += 1;
        (!self.plan.rough).then(|| format!("{}: its connection ended, close code {code:?}", member.name))
    }

    /// Finds those whose connection has ended meanwhile.
    pub(super) async fn noticed(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        for number in 0..self.members.len() {
            if self.members[number].is_lost() {
                faults.extend(self.lost(number).await);
            }
        }
        faults
    }

    /// What members and scribes heard differently of what is in flight.
    fn in_flight(&self) -> Vec<String> {
        let pairs =
            self.topics.iter().flat_map(|topic| self.members.iter().map(move |member| (topic, member)));
        let differ = pairs.filter_map(|(topic, member)| {
            let beside =
                |view: &View| topic.scribe.view(&topic.thread, |scribe| view.in_flight_beside(scribe));
            let fault = member.view(&topic.thread, beside)???;
            Some(format!("{}: {}: beside the scribe, {fault}", member.name, topic.thread))
        });
        differ.collect()
    }

    /// As many threads as there should be.
    pub(super) async fn fill(&mut self) -> Result<(), Broken> {
        while self.topics.len() < self.plan.threads {
            let begun = self.birth().await;
            let begun = begun.map_err(|error| vec![format!("a thread could not begin: {error}")]);
            if let Err(faults) = begun {
                self.judge(faults)?;
            }
        }
        Ok(())
    }

    async fn birth(&mut self) -> Result<(), NoResult> {
        self.born += 1;
        let mut scribe = Member::new(&format!("scribe-{}", self.born), true);
        scribe.come(&self.direct.url, self.direct.life).await?;
        // One thread in three asks for approvals.
        let approvals = if self.born.is_multiple_of(3) { "never" } else { "on-request" };
        let thread = scribe.begin(&self.folder, approvals).await?;
        let say = Step::Say { thread: thread.clone(), text: "hi".into() };
        scribe.perform(say, &self.direct).await?;
        self.topics.push(Topic { thread, scribe, reverted: false });
        Ok(())
    }

    /// What this member does next; nothing where it stalls on.
    fn draw(&mut self, number: usize) -> Option<Step> {
        let (rng, member) = (&mut self.rng, &self.members[number]);
        let topic = &self.topics[rng.usize(..self.topics.len())];
        if !member.is_connected() {
            let mut threads = vec![(topic.thread.clone(), since(rng, member, &topic.thread))];
            for topic in &self.topics {
                let known = member.view(&topic.thread, |_| ()).is_some();
                if known && threads.len() < FOLLOWS && threads[0].0 != topic.thread && rng.u32(0..3) > 0 {
                    threads.push((topic.thread.clone(), since(rng, member, &topic.thread)));
                }
            }
            return Some(Step::Come { threads });
        }
        if member.is_stalled() {
            return match rng.u32(0..300) {
                0..4 => Some(Step::ReadOn),
                4..5 => Some(Step::Leave),
                _ => None,
            };
        }
        let followed: Vec<String> = {
            let all = self.topics.iter().map(|topic| &topic.thread);
            all.filter(|thread| member.follows(thread)).cloned().collect()
        };
        let Some(thread) = rng.choice(followed.iter()).filter(|_| rng.u32(0..20) > 0).cloned() else {
            let thread = topic.thread.clone();
            let since = since(rng, member, &thread);
            return Some(Step::Resume { thread, since });
        };
        let (running, question) = member.view(&thread, |view| {
            let running = view.turns().running().map(|(turn, _)| turn.to_owned());
            (running, view.questions().open().next().map(|(id, _)| id))
        })?;
        if let Some(question) = question.filter(|_| rng.u32(0..2) == 0) {
            let says = match rng.u32(0..6) {
                0 => json!({ "result": { "action": "decline" } }),
                1 => json!({ "result": { "action": "cancel" } }),
                2 => json!({ "error": { "code": -32601, "message": "what?" } }),
                _ => json!({ "result": { "action": "accept", "content": { "name": "Bo" } } }),
            };
            return Some(Step::Answer { question, says });
        }
        Some(match (rng.u32(0..100), running) {
            (0..25, Some(turn)) => Step::Interrupt { thread, turn },
            (25..40, Some(turn)) => Step::Steer { thread, turn, text: self.texts.draw(rng) },
            (0..50, _) => Step::Say { thread, text: self.texts.draw(rng) },
            (50..56, _) if followed.len() < FOLLOWS => {
                let thread = topic.thread.clone();
                let since = since(rng, member, &thread);
                Step::Resume { thread, since }
            }
            (50..66, _) => {
                let since = since(rng, member, &thread);
                Step::Resume { thread, since }
            }
            (66..72, _) => Step::Unsubscribe { thread },
            (72..82, _) => Step::Leave,
            (82..87, _) => Step::Stall,
            (87..92, _) => Step::Read { thread },
            (92..97, _) => Step::Call { thread, tool: "echo", text: self.texts.token() },
            _ => {
                let turns: Option<Vec<String>> =
                    member.view(&thread, |view| view.turns().ids().skip(1).map(str::to_owned).collect());
                match turns.as_ref().and_then(|turns| turns.iter().rev().nth(3)) {
                    Some(before) if rng.u32(0..2) == 0 => Step::Revert { thread, before: before.clone() },
                    _ => Step::Read { thread },
                }
            }
        })
    }
}

/// Where a member resumes from, unless it heard of a revert, of which only a snapshot says more: its own place, one before it, sometimes none, or one that the log has not reached.
fn since(rng: &mut Rng, member: &Member, thread: &str) -> Option<Cursor> {
    let cursor = member.place(thread)?;
    let seq = match rng.u32(0..20) {
        0..3 => return None,
        3..7 => cursor.seq.saturating_sub(rng.u64(0..40)),
        7 => cursor.seq + 100_000,
        _ => cursor.seq,
    };
    Some(Cursor { seq, ..cursor })
}
